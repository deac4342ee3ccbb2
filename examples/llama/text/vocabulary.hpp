#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/tokenizer.hpp"

namespace llama {

/// Tokens and their ids, both ways.
class vocabulary {
 public:
  /// Errors      input_error for an id that no model can have.
  void add(std::string token, std::int64_t id);

  std::optional<token_id> find(std::string_view token) const {
    const auto found = ids_.find(token);
    return found == ids_.end() ? std::nullopt : std::optional(found->second);
  }
  std::optional<std::string> token(token_id id) const;

  index_t count() const { return static_cast<index_t>(ids_.size()); }
  index_t size() const { return static_cast<index_t>(tokens_.size()); }

 private:
  struct hash : std::hash<std::string_view> {
    using is_transparent = void;
  };
  std::unordered_map<std::string, token_id, hash, std::equal_to<>> ids_;
  std::vector<std::optional<std::string>> tokens_;
};

/// The token that SentencePiece's byte fallback has for a byte: "<0x0A>".
std::string byte_token(unsigned char byte);
/// The byte of such a token.
std::optional<unsigned char> byte_of_token(std::string_view token);

}  // namespace llama
