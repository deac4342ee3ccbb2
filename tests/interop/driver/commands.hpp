#pragma once

#include <map>
#include <span>
#include <string>

namespace interop {

/// A command's arguments by position, as the Python side gives them.
using arguments = std::span<const std::string>;
using command = void (*)(arguments);
using command_table = std::map<std::string, command, std::less<>>;

void add_quantise_commands(command_table& table);
void add_safetensors_commands(command_table& table);
void add_adapter_commands(command_table& table);
void add_bitsandbytes_commands(command_table& table);
void add_full_tensor_commands(command_table& table);
void add_gguf_commands(command_table& table);
void add_llama_commands(command_table& table);
void add_tokenizer_commands(command_table& table);

}  // namespace interop
