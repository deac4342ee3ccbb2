#pragma once

#include <algorithm>
#include <string>
#include <string_view>

#include "common/programs.hpp"

namespace examples {

/// One step through UTF-8 text: a character, or the longest run of bytes that could have begun one (what
/// Unicode calls a maximal subpart, and replaces by one U+FFFD).
struct utf8_step {
  std::size_t length;
  bool valid;
  bool cut;  ///< not valid only because the text ends
};

/// The step at the front of a text that isn't empty. Overlong forms, surrogates and what lies beyond
/// U+10FFFF are invalid; they show in the second byte.
inline utf8_step utf8_front(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return {1, true, false};
  if (lead < 0xC2 || lead > 0xF4) return {1, false, false};
  const std::size_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  for (std::size_t i = 1; i < length; ++i) {
    if (i == text.size()) return {i, false, true};
    unsigned char least = 0x80;
    unsigned char most = 0xBF;
    if (i == 1 && lead == 0xE0) least = 0xA0;
    if (i == 1 && lead == 0xED) most = 0x9F;
    if (i == 1 && lead == 0xF0) least = 0x90;
    if (i == 1 && lead == 0xF4) most = 0x8F;
    if (byte(i) < least || byte(i) > most) return {i, false, false};
  }
  return {length, true, false};
}

struct utf8_character {
  char32_t code;
  std::size_t length;
};

/// The character at the front. Requires    valid UTF-8, not empty.
inline utf8_character utf8_decode(std::string_view text) {
  const auto byte = [&](std::size_t i) { return char32_t{static_cast<unsigned char>(text[i])}; };
  const char32_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  if (lead < 0xE0) return {(lead & 0x1F) << 6 | (byte(1) & 0x3F), 2};
  if (lead < 0xF0) return {(lead & 0xF) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F), 3};
  return {(lead & 7) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F), 4};
}

/// The character at the end. Requires    valid UTF-8, not empty.
inline utf8_character utf8_decode_back(std::string_view text) {
  std::size_t at = text.size() - 1;
  while ((static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) --at;
  return utf8_decode(text.substr(at));
}

/// The text with U+FFFD for whatever isn't UTF-8.
inline std::string valid_utf8(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  while (!text.empty()) {
    const utf8_step step = utf8_front(text);
    result += step.valid ? text.substr(0, step.length) : "\xEF\xBF\xBD";
    text.remove_prefix(step.length);
  }
  return result;
}

/// How many bytes of the text can be shown already: all but a character that has only begun at its end.
inline std::size_t utf8_complete(std::string_view text) {
  const std::size_t reach = std::min<std::size_t>(3, text.size());
  for (std::size_t back = 1; back <= reach; ++back) {
    const std::string_view tail = text.substr(text.size() - back);
    if (static_cast<unsigned char>(tail.front()) < 0xC0) continue;
    const utf8_step step = utf8_front(tail);
    return step.cut && step.length == back ? text.size() - back : text.size();
  }
  return text.size();
}

}  // namespace examples
