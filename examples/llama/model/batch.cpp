#include "model/batch.hpp"

namespace llama {

token_batch padded_batch(std::span<const labelled_tokens> sequences) {
  token_batch batch;
  batch.sequences = std::ssize(sequences);
  for (const labelled_tokens& each : sequences) batch.length = std::max(batch.length, std::ssize(each.tokens));
  const auto size = static_cast<std::size_t>(batch.sequences * batch.length);
  batch.tokens.assign(size, 0);
  batch.labels.assign(size, token_batch::not_scored);
  batch.mask.assign(size, 0);
  index_t end = 0;
  for (const labelled_tokens& each : sequences) {
    end += batch.length;
    const index_t begin = end - std::ssize(each.tokens);
    std::ranges::copy(each.tokens, batch.tokens.begin() + begin);
    std::ranges::copy(each.labels, batch.labels.begin() + begin);
    std::fill(batch.mask.begin() + begin, batch.mask.begin() + end, std::uint8_t{1});
  }
  return batch;
}

}  // namespace llama
