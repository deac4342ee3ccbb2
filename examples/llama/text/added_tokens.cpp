#include "text/added_tokens.hpp"

#include <algorithm>
#include <utility>

#include "text/unicode.hpp"

namespace llama {

void added_token_finder::add(std::string pattern, const added_token& token, token_id id) {
  if (pattern.empty()) return;
  if (token.single_word) require_icu("an added token with single_word");
  const auto place = std::ranges::lower_bound(entries_, pattern, {}, &entry::pattern);
  entry made{std::move(pattern), token, id};
  if (place != entries_.end() && place->pattern == made.pattern) {
    *place = std::move(made);
  } else {
    entries_.insert(place, std::move(made));
  }
}

/// Narrows the sorted entries down byte by byte.
const added_token_finder::entry* added_token_finder::longest(std::string_view text) const {
  const entry* found = nullptr;
  auto first = entries_.begin();
  auto last = entries_.end();
  for (std::size_t depth = 0; first != last; ++depth) {
    if (first->pattern.size() == depth) {
      if (depth > 0) found = &*first;
      if (++first == last) break;
    }
    if (depth == text.size()) break;
    const auto byte = [depth](const entry& e) { return static_cast<unsigned char>(e.pattern[depth]); };
    const auto next = static_cast<unsigned char>(text[depth]);  // not equal_range: clang 14 can't do its subrange
    first = std::ranges::lower_bound(first, last, next, {}, byte);
    last = std::ranges::upper_bound(first, last, next, {}, byte);
  }
  return found;
}

std::vector<added_token_finder::piece> added_token_finder::find(std::string_view text) const {
  std::vector<piece> pieces;
  std::size_t done = 0;
  for (std::size_t at = 0; at < text.size() && !entries_.empty();) {
    const entry* const found = longest(text.substr(at));
    if (!found) {
      ++at;
      continue;
    }
    text_range range = {at, at + found->pattern.size()};
    at = range.end;  // the search goes on here whatever becomes of this one
    if (ignore_special_ && found->token.special) continue;
    if (found->token.single_word) {
      const bool word_before = range.begin > 0 && is_word_character(utf8_decode_back(text.substr(0, range.begin)).code);
      const bool word_behind = at < text.size() && is_word_character(utf8_decode(text.substr(at)).code);
      if (word_before || word_behind) continue;
    }
    while (found->token.lstrip && range.begin > done) {
      const utf8_character c = utf8_decode_back(text.substr(0, range.begin));
      if (!is_white_space(c.code)) break;
      range.begin -= c.length;
    }
    while (found->token.rstrip && range.end < text.size()) {
      const utf8_character c = utf8_decode(text.substr(range.end));
      if (!is_white_space(c.code)) break;
      range.end += c.length;
    }
    if (done < range.begin) pieces.push_back({{done, range.begin}, std::nullopt});
    pieces.push_back({range, found->id});
    done = range.end;
  }
  if (done < text.size()) pieces.push_back({{done, text.size()}, std::nullopt});
  return pieces;
}

}  // namespace llama
