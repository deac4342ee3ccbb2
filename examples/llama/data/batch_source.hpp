#pragma once

#include <algorithm>
#include <cstdint>

#include "model/batch.hpp"

namespace llama {

/// What a trainer reads: the micro-batches of every epoch. Any of them can be made at any time and by any
/// process, so that a position in the data is just a number.
class batch_source {
 public:
  virtual ~batch_source() = default;

  /// In one epoch, at least 1.
  virtual index_t micro_batches() const = 0;
  /// A pure function of its arguments, 0 <= index < micro_batches().
  virtual token_batch micro_batch(index_t epoch, index_t index) const = 0;
};

/// Tokens of a batch that aren't padding.
inline std::int64_t real_tokens(const token_batch& batch) {
  return std::count(batch.mask.begin(), batch.mask.end(), std::uint8_t{1});
}

}  // namespace llama
