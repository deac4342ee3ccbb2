#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "text/tokenizer.hpp"

namespace llama {

/// What a model directory says of the tokens that begin and end a sequence.
struct special_tokens {
  std::optional<token_id> bos, eos;
  bool add_bos = true;  ///< as LLaMA's SentencePiece tokenizers do it where nothing is said
  bool add_eos = false;
};

/// From tokenizer_config.json, by their text; what isn't there from config.json, of several ends the first.
/// Errors: input_error for a text that id_of doesn't know.
special_tokens read_special_tokens(const std::filesystem::path& directory,
                                   const std::function<std::optional<token_id>(const std::string&)>& id_of);

}  // namespace llama
