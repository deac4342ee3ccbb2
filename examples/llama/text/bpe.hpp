#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "text/tokenizer.hpp"

namespace llama {

/// Byte-pair encoding of one word: it begins as single bytes; then, again and again, the neighbours whose
/// merge was learned first become one token, the leftmost of equals before the others.
class bpe {
 public:
  using vocabulary = std::unordered_map<std::string, token_id>;
  using merge_list = std::vector<std::pair<std::string, std::string>>;

  /// Tokens as the bytes they stand for, merges in the order they were learned. With `ignore_merges` a word
  /// that is a token as a whole isn't taken apart. Errors: input_error for a merge of or into no token.
  bpe(vocabulary ids, const merge_list& merges, bool ignore_merges, std::optional<token_id> unknown);

  /// Appends the word's ids. A byte that is no token becomes `unknown`, or nothing without one.
  ///
  /// Cost        n log n in the word's bytes.
  void encode(std::string_view word, token_ids& ids) const;

 private:
  static constexpr token_id none = -1;
  struct merge {
    std::size_t rank;
    token_id result;
  };

  static std::uint64_t key(token_id left, token_id right) {
    return std::uint64_t{static_cast<std::uint32_t>(left)} << 32 | static_cast<std::uint32_t>(right);
  }

  vocabulary ids_;
  std::array<token_id, 256> byte_ids_;
  std::unordered_map<std::uint64_t, merge> merges_;
  bool ignore_merges_;
};

}  // namespace llama
