#pragma once

#include <algorithm>
#include <charconv>
#include <concepts>
#include <cstddef>
#include <initializer_list>
#include <string>
#include <string_view>

#include <sbora/core/compiler.hpp>
#include <sbora/core/index.hpp>
#include <sbora/core/language.hpp>

/// What error texts are made by. A chain of `+` over strings is compiled at each place that says something, with all
/// that could throw in it; a list of parts is a few stores. (A unit that trains a layer: 0.1 s of 2.6.)
namespace sbora::inline SBORA_ABI::detail {

/// Text, or a whole number that becomes text. Refers to what it was made of.
class message_part {
 public:
  message_part(const char* text) noexcept : text_(text), size_(std::string_view(text).size()) {}
  message_part(std::string_view text) noexcept : text_(text.data()), size_(text.size()) {}
  message_part(const std::string& text) noexcept : text_(text.data()), size_(text.size()) {}
  template <std::integral Number>
    requires(!std::same_as<Number, bool> && !std::same_as<Number, char>)
  message_part(Number number) noexcept
      : size_(number < 0 ? std::size_t{0} - static_cast<std::size_t>(number) : static_cast<std::size_t>(number)),
        kind_(number < 0 ? kind::negative : kind::number) {}

  SBORA_COLD void append_to(std::string& message) const {
    if (kind_ == kind::text) {
      message.append(text_, size_);
      return;
    }
    char digits[24];
    char* first = digits + sizeof digits;
    std::size_t left = size_;
    do *--first = static_cast<char>('0' + left % 10);
    while ((left /= 10) != 0);
    if (kind_ == kind::negative) *--first = '-';
    message.append(first, static_cast<std::size_t>(digits + sizeof digits - first));
  }

 private:
  enum class kind : char { text, number, negative };  // an empty view's text may be null

  const char* text_ = nullptr;
  std::size_t size_;  ///< of the text, or the number
  kind kind_ = kind::text;
};

/// The parts one after another: message({"rank = ", rank, ", expected ", expected}).
SBORA_COLD inline std::string message(std::initializer_list<message_part> parts) {
  std::string text;
  for (const message_part& part : parts) part.append_to(text);
  return text;
}

/// "rows = 3" and the like, for messages.
template <class Value>
std::string named(const char* name, Value value) {
  return message({name, " = ", value});
}

SBORA_COLD inline std::string shape_text(index_t rows, index_t cols) { return message({rows, " x ", cols}); }

/// As short as it says the number: "0.1", "1.0", "1e-50", "inf".
SBORA_COLD inline std::string number_text(double value) {
  char text[32];
  std::string shortest(text, std::to_chars(text, text + sizeof text, value).ptr);
  return shortest.find_first_not_of("-0123456789") == std::string::npos ? shortest + ".0" : shortest;
}

/// A message as people can read it, whatever names from files are in it: at most 20 lines, of which the last one
/// counts the rest, at most 1000 bytes a line, and no control characters, which a terminal would obey.
SBORA_COLD inline std::string readable(std::string_view message) {
  constexpr std::size_t most_lines = 20, most_bytes = 1000;
  const auto lines = static_cast<std::size_t>(std::count(message.begin(), message.end(), '\n')) + 1;
  const std::size_t shown = lines > most_lines ? most_lines - 1 : lines;
  std::string text;
  for (std::size_t line = 0; line < shown; ++line) {
    if (line > 0) text.append("\n", 1);
    const std::string_view whole = message.substr(0, message.find('\n'));
    message.remove_prefix(whole.size() < message.size() ? whole.size() + 1 : whole.size());
    std::size_t at = 0;
    for (std::size_t written = 0; at < whole.size(); ++at) {
      const auto byte = static_cast<unsigned char>(whole[at]);
      const bool continues = (byte & 0xC0U) == 0x80U;  // of a character of UTF-8, which isn't cut in two
      if (written >= most_bytes && !continues) break;
      constexpr const char* digits = "0123456789abcdef";
      const bool control = byte < 0x20 || byte == 0x7F;
      const char escaped[] = {'\\', 'x', digits[byte >> 4U], digits[byte & 15U]};
      text.append(control ? escaped : &whole[at], control ? sizeof escaped : 1);
      written += control ? sizeof escaped : 1;
    }
    if (at < whole.size()) text += detail::message({"... (", whole.size() - at, " bytes more)"});
  }
  return shown < lines ? detail::message({text, "\n  ... and ", lines - shown, " lines more"}) : text;
}

}  // namespace sbora::inline SBORA_ABI::detail
