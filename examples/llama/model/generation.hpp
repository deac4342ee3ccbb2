#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "model/batch.hpp"
#include "model/decoder.hpp"
#include "text/tokenizer.hpp"

namespace llama {

/// Prompts side by side, padded on the left.
token_batch prompt_batch(const std::vector<token_ids>& prompts);

/// What the model says next to each prompt, greedily: up to max_new_tokens tokens, or up to the end of
/// sequence, which isn't part of the result. A prompt's result doesn't depend on the others beside it.
///
/// Requires    no prompt is empty. Decoder: class decoder, or what has its prefill() and step().
template <class Decoder>
std::vector<token_ids> generate(Decoder& model, const std::vector<token_ids>& prompts, index_t max_new_tokens,
                                std::optional<token_id> end) {
  std::vector<token_ids> results(prompts.size());
  std::vector<bool> ended(prompts.size(), false);
  if (prompts.empty() || max_new_tokens == 0) return results;
  std::vector<token_id> next = greedy(model.prefill(prompt_batch(prompts), max_new_tokens));
  for (index_t made = 1;; ++made) {
    for (std::size_t i = 0; i < prompts.size(); ++i) {
      ended[i] = ended[i] || next[i] == end;
      if (!ended[i]) results[i].push_back(next[i]);
    }
    if (made == max_new_tokens || std::find(ended.begin(), ended.end(), false) == ended.end()) return results;
    next = greedy(model.step(next));
  }
}

}  // namespace llama
