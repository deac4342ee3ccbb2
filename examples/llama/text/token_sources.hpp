#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "text/added_tokens.hpp"

namespace llama {

/// What the files beside a tokenizer say of its tokens: the one place that knows which of them counts (README.md).
struct token_sources {
  struct numbered {
    added_token token;
    token_id id;  ///< what the file says; what the tokenizer gives may be another
    std::string file;
  };
  /// From added_tokens_decoder of tokenizer_config.json; without it from added_tokens.json and tokenizer.json. By id.
  std::vector<numbered> added;

  struct named {
    std::string role;  ///< "eos_token", ...; empty for the additional ones
    added_token token;
  };
  /// In transformers' order. Only those that a file names.
  std::vector<named> special;
  /// bos_token, eos_token and unk_token that the class has where the files say nothing.
  std::vector<named> class_special;

  std::optional<bool> add_bos, add_eos, legacy;
  bool split_special = false;              ///< special tokens in a text are text
  std::string tokenizer_class;             ///< without "Fast"; from config.json's model_type where nothing names it
  bool by_transformers_5 = false;          ///< these files were written by it
  std::optional<token_id> bos_id, eos_id;  ///< of config.json

  /// LLaMA's, which adds a beginning of sequence where the files don't say.
  bool is_llama_class() const;
};

/// Reads tokenizer_config.json, special_tokens_map.json, added_tokens.json and config.json where they are there, and
/// takes the list "added_tokens" of a tokenizer.json into account. `default_class` counts where no file names one.
/// Errors      input_error that names file and field.
token_sources read_token_sources(const std::filesystem::path& directory, const nlohmann::json* added_tokens,
                                 const std::string& default_class = "");

/// An entry of such a list, without its id. Errors: input_error.
added_token read_added_token(const nlohmann::json& description, const std::string& where);

}  // namespace llama
