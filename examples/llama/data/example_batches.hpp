#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "data/batch_source.hpp"
#include "data/dataset.hpp"

namespace llama {

/// Which examples are trained on and which are only measured; both in the order of the data.
struct data_split {
  std::vector<index_t> training, validation;
};

/// Draws the validation set. Errors: input_error where it would leave nothing to train on.
data_split split_data(index_t examples, index_t validation_size, std::uint64_t seed);

/// That either part has something to score, so that its loss is one. Errors: input_error with the remedy.
void check_scored(const dataset& data, const data_split& split);

/// Examples side by side.
token_batch padded_batch(const std::vector<example>& examples, std::span<const index_t> chosen);

/// Micro-batches of tokenised examples: every epoch has each example once, in an order of its own. The last
/// micro-batch of an epoch has what is left.
///
/// Lifetime    refers to the dataset.
/// Numerics    a micro-batch is a function of seed, epoch and index alone, the same on every machine.
/// Thread      one call at a time: the order of the last epoch asked for is kept.
class example_batches final : public batch_source {
 public:
  enum class order { shuffled, as_given };

  example_batches(const dataset& of, std::vector<index_t> chosen, index_t micro_batch_size, order sequence,
                  std::uint64_t seed = 0);

  index_t micro_batches() const override;
  token_batch micro_batch(index_t epoch, index_t index) const override;

 private:
  const dataset& data_;
  std::vector<index_t> chosen_;
  index_t micro_batch_size_;
  order order_;
  std::uint64_t seed_;
  mutable index_t epoch_ = -1;
  mutable std::vector<index_t> shuffled_;
};

}  // namespace llama
