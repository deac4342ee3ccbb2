#include "text/added_tokens.hpp"

#include <utility>

namespace llama {

void added_tokens::add(std::string content, token_id id) {
  if (content.empty()) return;
  auto& tokens = by_first_byte_[static_cast<unsigned char>(content.front())];
  tokens.push_back({std::move(content), id});
}

std::vector<added_tokens::piece> added_tokens::find(std::string_view text) const {
  std::vector<piece> pieces;
  std::size_t done = 0;
  for (std::size_t at = 0; at < text.size();) {
    const token* longest = nullptr;
    for (const token& candidate : by_first_byte_[static_cast<unsigned char>(text[at])]) {
      const bool longer = !longest || candidate.content.size() > longest->content.size();
      if (longer && text.substr(at).starts_with(candidate.content)) longest = &candidate;
    }
    if (!longest) {
      ++at;
      continue;
    }
    if (at > done) pieces.push_back({text.substr(done, at - done), std::nullopt});
    pieces.push_back({text.substr(at, longest->content.size()), longest->id});
    done = at += longest->content.size();
  }
  if (done < text.size()) pieces.push_back({text.substr(done), std::nullopt});
  return pieces;
}

}  // namespace llama
