#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace llama {

/// A regular expression over Unicode text: ICU's engine, which gives what tokenizer.json means (Oniguruma's
/// matches) for the constructs that tokenizers use. Works on UTF-8 as it is.
///
/// Thread      find() may be called at the same time.
/// Errors      input_error for a pattern that ICU doesn't know, and for every pattern where the program was
///             built without ICU.
class unicode_pattern {
 public:
  explicit unicode_pattern(const std::string& pattern);
  ~unicode_pattern();
  unicode_pattern(unicode_pattern&&) noexcept;
  unicode_pattern& operator=(unicode_pattern&&) noexcept;

  /// A piece of a text: a match, or what lies between two.
  struct piece {
    std::string_view text;
    bool matched;
  };
  /// The whole text in pieces, none of them empty.
  std::vector<piece> find(std::string_view text) const;

 private:
  struct compiled;
  std::unique_ptr<compiled> compiled_;
};

enum class normal_form { nfc, nfd, nfkc, nfkd };

/// The text in a Unicode normal form. Errors: input_error without ICU.
std::string normalise(std::string_view text, normal_form form);

}  // namespace llama
