// The fine-tuner's tokenizers (examples/llama/text).

#include <cstdio>
#include <fstream>

#include <nlohmann/json.hpp>

#include "commands.hpp"
#include "text/tokenizer.hpp"

namespace interop {
namespace {

using nlohmann::json;

/// FOLDER TEXTS OUT: TEXTS is a JSON list of texts; OUT becomes an object of the ids without and with what stands
/// around a text, what the ids decode to, bos, eos, size and notes.
void encode(arguments words) {
  const auto tokenizer = llama::make_tokenizer(words[0]);
  json result = {{"ids", json::array()},
                 {"with_special", json::array()},
                 {"decoded", json::array()},
                 {"notes", tokenizer->notes()},
                 {"size", tokenizer->size()}};
  if (tokenizer->bos()) result["bos"] = *tokenizer->bos();
  if (tokenizer->eos()) result["eos"] = *tokenizer->eos();
  for (const std::string text : json::parse(std::ifstream(words[1]))) {
    const llama::token_ids ids = tokenizer->encode(text, false);
    result["decoded"].push_back(tokenizer->decode(ids));
    result["with_special"].push_back(tokenizer->encode(text, true));
    result["ids"].push_back(ids);
  }
  std::ofstream(words[2]) << result;
}

}  // namespace

void add_tokenizer_commands(command_table& table) { table["tokenize"] = encode; }

}  // namespace interop
