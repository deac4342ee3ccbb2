// sbora_interop COMMAND ARGUMENT...: does with sbora what a Python test asks for, by files. Exit status 1 with the
// error's text on stderr where sbora refuses, 2 where the call itself is wrong.

#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "commands.hpp"

int main(int argc, char** argv) {
  interop::command_table table;
  interop::add_quantise_commands(table);
  interop::add_safetensors_commands(table);
  interop::add_adapter_commands(table);
  interop::add_bitsandbytes_commands(table);
  interop::add_full_tensor_commands(table);
  interop::add_gguf_commands(table);
  interop::add_llama_commands(table);
  interop::add_tokenizer_commands(table);
  const std::vector<std::string> words(argv + 1, argv + argc);
  const auto found = words.empty() ? table.end() : table.find(words.front());
  if (found == table.end()) {
    std::fprintf(stderr, "usage: sbora_interop COMMAND ARGUMENT...; commands:");
    for (const auto& [name, call] : table) std::fprintf(stderr, " %s", name.c_str());
    std::fprintf(stderr, "\n");
    return 2;
  }
  try {
    found->second(std::span(words).subspan(1));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
