#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "model/model.hpp"

namespace llama {

/// Generation with a cache of keys and values: a batch of prompts first, then a token for each sequence
/// at a time; those that have ended leave the batch. Adapters take part, without dropout.
///
/// Lifetime    refers to the model, which mustn't be trained or given other adapters meanwhile.
/// Errors      where a logit isn't finite, what throw_not_finite() says: no token is the most likely one then.
/// Cost        caches of 2 * layers * sequences * capacity * key_value_size floats.
class decoder {
 public:
  decoder(model& of, thread_pool& pool);
  ~decoder();
  decoder(const decoder&) = delete;
  decoder& operator=(const decoder&) = delete;

  /// Starts anew with these prompts (labels unused) and room for `new_tokens` more a sequence. Returns
  /// the logits that follow each prompt's last token, sequences x vocab_size; valid until the next call.
  const matrix& prefill(const token_batch& prompts, index_t new_tokens);

  /// Appends one token to every sequence; returns the logits that follow it.
  const matrix& step(std::span<const std::int32_t> tokens);

  /// From now on the batch is these of its sequences, in this order. Requires: in range, none twice.
  void keep(std::span<const index_t> sequences);

 private:
  const matrix& checked_logits() const;

  struct state;
  std::unique_ptr<state> state_;
};

/// For every row of logits the first of its largest: greedy decoding.
std::vector<std::int32_t> greedy(const matrix& logits);

}  // namespace llama
