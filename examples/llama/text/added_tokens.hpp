#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer.hpp"

namespace llama {

/// Tokens that are found in a text as they are, before anything else is done with it: of several at one
/// place the longest.
class added_tokens {
 public:
  struct piece {
    std::string_view text;
    std::optional<token_id> id;  ///< none for the text between
  };

  void add(std::string content, token_id id);
  std::vector<piece> find(std::string_view text) const;

 private:
  struct token {
    std::string content;
    token_id id;
  };
  std::array<std::vector<token>, 256> by_first_byte_;
};

}  // namespace llama
