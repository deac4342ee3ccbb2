#include "model/decoder.hpp"

#include "common/error.hpp"
#include "model/non_finite.hpp"

namespace llama {

struct decoder::state {
  model& net;
  thread_pool& pool;
  std::vector<layer_cache> caches;
  matrix x, next, logits;
  block_activations kept;
  std::vector<index_t> rows, positions;
};

decoder::decoder(model& of, thread_pool& pool)
    : state_(new state{of, pool, std::vector<layer_cache>(of.blocks_.size()), {}, {}, {}, {}, {}, {}}) {}
decoder::~decoder() = default;

const matrix& decoder::prefill(const token_batch& prompts, index_t new_tokens) {
  model& net = state_->net;
  const packed_tokens tokens = pack(prompts, net.config_.vocab_size);
  const index_t capacity = longest(tokens) + std::max<index_t>(new_tokens, 0);
  for (layer_cache& cache : state_->caches) cache.reset(prompts.sequences, capacity, net.config_.key_value_size());
  net.rotary_.extend(net.config_, capacity);  // at once, not anew for every token
  net.run_blocks(tokens, state_->x, state_->pool, [&](std::size_t layer) {
    for (std::size_t i = 0; i < tokens.sequences.size(); ++i) {
      state_->caches[layer].append(static_cast<index_t>(i), net.kept_[0].k, net.kept_[0].v, tokens.sequences[i]);
    }
  });
  state_->rows.clear();
  state_->positions.clear();
  for (const token_range& sequence : tokens.sequences) {
    state_->rows.push_back(sequence.first + sequence.length - 1);
    state_->positions.push_back(sequence.length);
  }
  net.top_->logits(state_->x, state_->rows, state_->logits, net.context(state_->pool));
  for (std::size_t i = 0; i < state_->rows.size(); ++i) state_->rows[i] = static_cast<index_t>(i);
  return checked_logits();
}

const matrix& decoder::step(std::span<const std::int32_t> tokens) {
  model& net = state_->net;
  if (tokens.size() != state_->positions.size()) {
    throw input_error("a decoder of " + std::to_string(state_->positions.size()) + " sequences got " +
                      std::to_string(tokens.size()) + " tokens");
  }
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] < 0 || tokens[i] >= net.config_.vocab_size) {
      throw input_error("token id " + std::to_string(tokens[i]) + " is outside the vocabulary");
    }
    if (state_->positions[i] >= state_->caches.front().capacity) throw input_error("a decoder's cache is full");
  }
  const block_context with = net.context(state_->pool);
  net.embed(tokens, *std::max_element(state_->positions.begin(), state_->positions.end()) + 1, state_->x, state_->pool);
  for (std::size_t layer = 0; layer < net.blocks_.size(); ++layer) {
    net.blocks_[layer].forward_cached(state_->x, state_->next, state_->positions, state_->caches[layer], state_->kept,
                                      with);
    state_->x.swap(state_->next);
  }
  for (index_t& position : state_->positions) ++position;
  net.top_->logits(state_->x, state_->rows, state_->logits, with);
  return checked_logits();
}

void decoder::keep(std::span<const index_t> sequences) {
  const auto only = [&](std::vector<index_t>& of_all) {
    std::vector<index_t> kept;
    for (const index_t i : sequences) kept.push_back(of_all[static_cast<std::size_t>(i)]);
    of_all = std::move(kept);
  };
  only(state_->positions);
  state_->rows.resize(sequences.size());  // 0, 1, 2, ...
  for (layer_cache& cache : state_->caches) {
    only(cache.slots);
    only(cache.lengths);
  }
}

const matrix& decoder::checked_logits() const {
  for (index_t row = 0; row < state_->logits.rows(); ++row) {
    if (state_->logits.row(row).allFinite()) continue;
    throw_not_finite(state_->net,
                     "a logit of sequence " +
                         std::to_string(state_->caches.front().slots[static_cast<std::size_t>(row)]) + " after " +
                         std::to_string(state_->positions[static_cast<std::size_t>(row)]) + " tokens",
                     "the adapter may have diverged in training: try a lower --learning_rate");
  }
  return state_->logits;
}

std::vector<std::int32_t> greedy(const matrix& logits) {
  std::vector<std::int32_t> tokens;
  for (index_t row = 0; row < logits.rows(); ++row) {
    index_t best = 0;
    logits.row(row).maxCoeff(&best);
    tokens.push_back(static_cast<std::int32_t>(best));
  }
  return tokens;
}

}  // namespace llama
