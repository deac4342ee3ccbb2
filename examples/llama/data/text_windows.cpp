#include "data/text_windows.hpp"

#include <sbora/core/random.hpp>

namespace llama {

text_windows::text_windows(token_ids tokens, index_t sequences, index_t length, index_t batches, order begins,
                           std::uint64_t seed)
    : tokens_(std::move(tokens)),
      sequences_(sequences),
      length_(length),
      batches_(batches),
      order_(begins),
      seed_(seed) {}

token_batch text_windows::micro_batch(index_t epoch, index_t index) const {
  const index_t number = epoch * batches_ + index;
  const index_t begins = std::ssize(tokens_) - length_ + 1;
  sbora::random_stream random(seed_, static_cast<std::uint64_t>(number));
  token_batch batch{.sequences = sequences_, .length = length_, .tokens = {}, .labels = {}, .mask = {}};
  for (index_t row = 0; row < sequences_; ++row) {
    const index_t window = index * sequences_ + row;
    const index_t begin = order_ == order::drawn ? random.below(begins) : window * begins / (batches_ * sequences_);
    batch.tokens.insert(batch.tokens.end(), tokens_.begin() + begin, tokens_.begin() + begin + length_);
  }
  batch.labels = batch.tokens;
  batch.mask.assign(batch.tokens.size(), 1);
  return batch;
}

}  // namespace llama
