#pragma once

#include <functional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace llama {

/// tokenizer.json's "decoder": the text of a list of tokens.
///
/// Errors      input_error that names a type that isn't supported.
class token_decoder {
 public:
  token_decoder() = default;  ///< tokens with blanks between
  token_decoder(const nlohmann::json& description, const std::string& where) { add(description, where); }

  /// The text of tokens, valid UTF-8.
  std::string text(std::vector<std::string> tokens) const;

  /// What one token adds to the bytes of a text that has begun already.
  std::string bytes(std::string token) const;

 private:
  struct step {
    std::function<void(std::vector<std::string>& tokens)> whole;
    std::function<void(std::string& token)> inside;  ///< may be none
  };
  void add(const nlohmann::json& description, const std::string& where);
  /// The same for every token, wherever it stands.
  void add_each(std::function<void(std::string& token)> change);

  std::vector<step> steps_;
};

}  // namespace llama
