#include "text/tokenizer.hpp"

#include <utility>

#include "common/utf8.hpp"

namespace llama {

token_ids tokenizer::encode(std::string_view text, bool add_special) const {
  token_ids ids = encode_text(text);
  if (add_special) {
    ids.insert(ids.begin(), before_.begin(), before_.end());
    ids.insert(ids.end(), after_.begin(), after_.end());
  }
  return ids;
}

std::string tokenizer::decode(std::span<const token_id> ids) const {
  std::string text;
  for (const token_id id : ids) text += bytes(id);
  return valid_utf8(text);
}

std::string stream_decoder::push(token_id id) {
  pending_ += tokenizer_.bytes(id);
  const std::size_t complete = utf8_complete(pending_);
  const std::string text = valid_utf8(std::string_view(pending_).substr(0, complete));
  pending_.erase(0, complete);
  return text;
}

std::string stream_decoder::finish() { return valid_utf8(std::exchange(pending_, {})); }

}  // namespace llama
