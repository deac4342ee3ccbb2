#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "text/split.hpp"

/// What of Unicode tokenizers need. ICU knows it; without ICU everything here but is_white_space() is refused by an
/// input_error that says so. ICU's version of Unicode may be another than the peer's: README.md.
namespace llama {

/// The property White_Space, as Rust and its regular expressions have it. Needs no ICU.
bool is_white_space(char32_t code);
/// Categories Nd, Nl and No.
bool is_number(char32_t code);
/// Categories P*, and ASCII's symbols.
bool is_punctuation(char32_t code);
/// What \w is for Rust's regular expressions.
bool is_word_character(char32_t code);
/// Refuses `what` where the program was built without ICU.
void require_icu(const std::string& what);

/// A regular expression as tokenizer.json has it, Oniguruma's, matched by ICU. Where the two differ it is adapted
/// (lines end at \n only, ^ and $ are about lines, \w has no joiners), or refused by name.
///
/// Thread      find() may be called at the same time.
/// Errors      input_error for a pattern that ICU doesn't know, or that means something else there.
class unicode_pattern {
 public:
  explicit unicode_pattern(const std::string& pattern);
  ~unicode_pattern();
  unicode_pattern(unicode_pattern&&) noexcept;
  unicode_pattern& operator=(unicode_pattern&&) noexcept;

  /// The matches in a text, from the left, empty ones too, but not right behind another.
  text_ranges find(std::string_view text) const;

 private:
  struct compiled;
  std::unique_ptr<compiled> compiled_;
};

enum class normal_form { nfc, nfd, nfkc, nfkd };

/// The text in a Unicode normal form.
std::string normalise(std::string_view text, normal_form form);

/// Every character in lower case by itself, whatever stands beside it.
std::string lower_case(std::string_view text);

}  // namespace llama
