#include "model/generation.hpp"

#include <utility>

#include "data/example_batches.hpp"

namespace llama {

token_batch prompt_batch(const std::vector<token_ids>& prompts) {
  std::vector<example> examples;
  std::vector<index_t> all;
  for (const token_ids& prompt : prompts) {
    all.push_back(std::ssize(examples));
    examples.push_back({prompt, {}});
  }
  token_batch batch = padded_batch(examples, all);
  batch.labels.clear();
  return batch;
}

}  // namespace llama
