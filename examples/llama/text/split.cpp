#include "text/split.hpp"

#include <algorithm>

namespace llama {

namespace {

struct part {
  text_range range;
  bool matched;
};

std::vector<part> parts_of(std::size_t size, const text_ranges& matches, bool inverted) {
  std::vector<part> parts;
  std::size_t done = 0;
  for (const text_range& match : matches) {
    if (match.begin != done) parts.push_back({{done, match.begin}, inverted});
    parts.push_back({match, !inverted});
    done = match.end;
  }
  if (done != size) parts.push_back({{done, size}, inverted});
  return parts;
}

}  // namespace

text_ranges split(std::size_t size, const text_ranges& matches, delimiter behavior, bool inverted) {
  std::vector<part> parts = parts_of(size, matches, inverted);
  const bool backwards = behavior == delimiter::merged_with_next;
  if (backwards) std::reverse(parts.begin(), parts.end());
  text_ranges pieces;
  bool after_match = false;
  for (const auto& [range, matched] : parts) {
    bool joins = false;  // the piece before
    switch (behavior) {
      case delimiter::removed:
        if (matched) continue;
        break;
      case delimiter::isolated: break;
      case delimiter::contiguous: joins = matched == after_match; break;
      case delimiter::merged_with_previous:
      case delimiter::merged_with_next: joins = matched && !after_match; break;
    }
    if (!joins || pieces.empty()) {
      pieces.push_back(range);
    } else if (backwards) {
      pieces.back().begin = range.begin;
    } else {
      pieces.back().end = range.end;
    }
    after_match = matched;
  }
  if (backwards) std::reverse(pieces.begin(), pieces.end());
  return pieces;
}

text_ranges match_string(std::string_view text, std::string_view wanted) {
  text_ranges matches;
  if (wanted.empty()) return matches;
  for (std::size_t at = 0; (at = text.find(wanted, at)) != std::string_view::npos; at += wanted.size()) {
    matches.push_back({at, at + wanted.size()});
  }
  return matches;
}

std::string replaced(std::string_view text, const text_ranges& matches, std::string_view content) {
  std::string result;
  std::size_t done = 0;
  for (const text_range& match : matches) {
    result += text_range{done, match.begin}.of(text);
    result += content;
    done = match.end;
  }
  return result.append(text, done);
}

}  // namespace llama
