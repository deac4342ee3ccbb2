#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "common/matrix.hpp"

namespace llama {

/// Sequences of token ids, padded on the left to one length; row-major sequences x length.
struct token_batch {
  /// The label of a token that isn't scored.
  static constexpr std::int32_t not_scored = -100;

  index_t sequences = 0;
  index_t length = 0;
  std::vector<std::int32_t> tokens;
  /// labels[t] is token t itself where it is to be predicted (from the tokens before it: the model
  /// shifts, as Hugging Face's do), or not_scored. May be empty where no loss is asked for.
  std::vector<std::int32_t> labels;
  /// 1 for a token, 0 for padding: in every row first zeros, then ones.
  std::vector<std::uint8_t> mask;
};

/// A loss before it is averaged, so that batches can be added up.
struct loss_sum {
  double total = 0;        ///< nats
  std::int64_t count = 0;  ///< scored tokens

  /// NaN where nothing was scored.
  double mean() const { return total / static_cast<double>(count); }
  loss_sum& operator+=(const loss_sum& other) {
    total += other.total;
    count += other.count;
    return *this;
  }
};

/// A sequence before it is one of a batch. Labels: as many as tokens, or none.
struct labelled_tokens {
  std::span<const std::int32_t> tokens, labels;
};

/// Sequences side by side, padded on the left to the longest of them. The padding is token 0, as the official
/// scripts have it; the mask takes it out.
token_batch padded_batch(std::span<const labelled_tokens> sequences);

}  // namespace llama
