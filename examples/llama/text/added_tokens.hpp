#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/split.hpp"
#include "text/tokenizer.hpp"

namespace llama {

/// A token that is found in a text as it is, before the model sees anything: Hugging Face's AddedToken.
struct added_token {
  std::string content;
  bool single_word = false;  ///< not beside a character of a word
  bool lstrip = false;       ///< takes the white space before it along
  bool rstrip = false;       ///< ... and behind it
  bool normalized = true;    ///< found in the normalised text, itself normalised, instead of in the text as it is
  bool special = false;      ///< left out by decoding

  bool operator==(const added_token&) const = default;
};

/// Finds tokens in a text: the leftmost, of several at one place the longest.
///
/// Cost        one look-up a byte of text, a few more where tokens begin.
class added_token_finder {
 public:
  /// With `ignore_special` special tokens are text, though one that is found hides others within it.
  explicit added_token_finder(bool ignore_special = false) : ignore_special_(ignore_special) {}

  struct piece {
    text_range range;
    std::optional<token_id> id;  ///< none for the text between
  };

  /// `pattern` is what is looked for: the content, or its normalised form. Of two with one pattern the last counts.
  void add(std::string pattern, const added_token& token, token_id id);

  /// All of a text that is valid UTF-8 in pieces.
  std::vector<piece> find(std::string_view text) const;

 private:
  struct entry {
    std::string pattern;
    added_token token;
    token_id id;
  };
  const entry* longest(std::string_view text) const;

  std::vector<entry> entries_;  ///< sorted by pattern
  bool ignore_special_;
};

}  // namespace llama
