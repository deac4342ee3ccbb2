#include "model/generation.hpp"

namespace llama {

token_batch prompt_batch(const std::vector<token_ids>& prompts) {
  std::vector<labelled_tokens> sequences;
  for (const token_ids& prompt : prompts) sequences.push_back({prompt, {}});
  token_batch batch = padded_batch(sequences);
  batch.labels.clear();
  return batch;
}

}  // namespace llama
