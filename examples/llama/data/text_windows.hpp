#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "data/batch_source.hpp"
#include "text/tokenizer.hpp"

namespace llama {

/// A plain text for pre-training: windows of equal length, every token scored.
class text_windows final : public batch_source {
 public:
  enum class order {
    drawn,  ///< for training: begins are random, a function of seed, epoch and index
    spread  ///< for measuring: begins lie evenly over the text
  };

  /// Requires    tokens.size() > length, batches >= 1.
  text_windows(token_ids tokens, index_t sequences, index_t length, index_t batches, order begins,
               std::uint64_t seed = 0);

  index_t micro_batches() const override { return batches_; }
  token_batch micro_batch(index_t epoch, index_t index) const override;

 private:
  token_ids tokens_;
  index_t sequences_;
  index_t length_;
  index_t batches_;
  order order_;
  std::uint64_t seed_;
};

}  // namespace llama
