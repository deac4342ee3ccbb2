#pragma once

#include <cstdint>
#include <numeric>
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
/// Requires    no prompt is empty. Decoder: class decoder, or what has its prefill(), step() and keep().
/// Cost        every step is of the sequences that haven't ended.
template <class Decoder>
std::vector<token_ids> generate(Decoder& model, const std::vector<token_ids>& prompts, index_t max_new_tokens,
                                std::optional<token_id> end) {
  std::vector<token_ids> results(prompts.size());
  if (prompts.empty() || max_new_tokens == 0) return results;
  std::vector<std::size_t> going(prompts.size());  // the prompts of the batch's sequences
  std::iota(going.begin(), going.end(), std::size_t{0});
  std::vector<token_id> next = greedy(model.prefill(prompt_batch(prompts), max_new_tokens));
  for (index_t made = 1;; ++made) {
    std::vector<index_t> kept;
    for (std::size_t i = 0; i < going.size(); ++i) {
      if (next[i] == end) continue;
      results[going[i]].push_back(next[i]);
      kept.push_back(static_cast<index_t>(i));
    }
    if (made == max_new_tokens || kept.empty()) return results;
    if (kept.size() < going.size()) {
      model.keep(kept);
      for (std::size_t i = 0; i < kept.size(); ++i) {
        going[i] = going[static_cast<std::size_t>(kept[i])];
        next[i] = next[static_cast<std::size_t>(kept[i])];
      }
      going.resize(kept.size());
      next.resize(kept.size());
    }
    next = greedy(model.step(next));
  }
}

}  // namespace llama
