#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include <nlohmann/json.hpp>

#include "text/text_model.hpp"
#include "text/vocabulary.hpp"

namespace llama {

/// tokenizer.json's model of type BPE, byte-pair encoding: a word begins as single characters; then, again and
/// again, the neighbours whose merge was learned first become one token, the leftmost of equals before the others.
class bpe final : public text_model {
 public:
  /// Errors: input_error for what isn't supported (dropout), a malformed merge, a merge of or into no token.
  bpe(const nlohmann::json& description, const std::string& where);

  /// A character that is no token becomes its bytes' tokens with byte_fallback, else unk_token, else nothing.
  ///
  /// Cost        n log n in the word's length.
  void encode(std::string_view word, token_ids& ids) const override;

  std::optional<token_id> id_of(const std::string& token) const override { return tokens_.find(token); }
  std::optional<std::string> token_of(token_id id) const override { return tokens_.token(id); }
  index_t count() const override { return tokens_.count(); }
  index_t size() const override { return tokens_.size(); }

 private:
  struct merge {
    std::size_t rank;
    token_id result;
  };

  static std::uint64_t key(token_id left, token_id right) {
    return std::uint64_t{static_cast<std::uint32_t>(left)} << 32 | static_cast<std::uint32_t>(right);
  }
  void add_merge(std::size_t rank, const std::string& left, const std::string& right);
  token_ids characters(std::string_view word) const;
  bool add_bytes(std::string_view character, token_ids& ids) const;

  vocabulary tokens_;
  std::unordered_map<std::uint64_t, merge> merges_;
  std::array<std::optional<token_id>, 256> byte_ids_;  ///< of byte fallback
  std::optional<token_id> unknown_;
  std::string prefix_, suffix_;  ///< of characters that don't begin a word, of the one that ends it
  bool fuse_unknown_, byte_fallback_, ignore_merges_;
};

}  // namespace llama
