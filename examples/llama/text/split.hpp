#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "common/utf8.hpp"

namespace llama {

/// Bytes [begin, end) of a text.
struct text_range {
  std::size_t begin, end;
  std::string_view of(std::string_view text) const { return text.substr(begin, end - begin); }
};
using text_ranges = std::vector<text_range>;

/// What becomes of the matches of a pattern that a text is split by: tokenizer.json's "behavior".
enum class delimiter { removed, isolated, merged_with_previous, merged_with_next, contiguous };

/// The pieces of a text of `size` bytes, in order, from a pattern's matches (in order, without overlap). Inverted,
/// what lies between the matches is the delimiter. Pieces may be empty where matches are.
text_ranges split(std::size_t size, const text_ranges& matches, delimiter behavior, bool inverted);

/// The characters of a class, each a match. Requires    valid UTF-8.
template <class Class>
text_ranges match_characters(std::string_view text, Class in_class) {
  text_ranges matches;
  for (std::size_t at = 0; at < text.size();) {
    const utf8_character c = utf8_decode(text.substr(at));
    if (in_class(c.code)) matches.push_back({at, at + c.length});
    at += c.length;
  }
  return matches;
}

/// Every occurrence of a string, from the left; none of an empty one.
text_ranges match_string(std::string_view text, std::string_view wanted);

/// The text with `content` in place of every match.
std::string replaced(std::string_view text, const text_ranges& matches, std::string_view content);

}  // namespace llama
