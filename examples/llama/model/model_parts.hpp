#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "model/block.hpp"
#include "model/head.hpp"
#include "model/model.hpp"
#include "weights/tensors.hpp"

namespace llama {

/// What a model is made of, and the passes over it.
struct model_parts {
  model_parts(const model_config& config, std::shared_ptr<tensor_source> source, const load_options& options,
              thread_pool& pool);

  void attach(const adapter_plan& plan, const std::vector<sbora::region>* regions);
  void train_all_weights();

  loss_sum forward_backward(const token_batch& batch, float gradient_scale, thread_pool& pool);
  loss_sum evaluate(const token_batch& batch, thread_pool& pool);
  matrix logits(const token_batch& batch, thread_pool& pool);

  /// Embeds tokens into x and makes rotary angles for positions below `positions`.
  void embed(std::span<const std::int32_t> ids, index_t positions, matrix& x, thread_pool& pool);
  /// Runs all blocks in evaluation; the result is in x. after(layer) is called when a block is done.
  template <class After>
  void run_blocks(const packed_tokens& tokens, matrix& x, thread_pool& pool, After after) {
    embed(tokens.ids, longest(tokens), x, pool);
    for (std::size_t layer = 0; layer < blocks.size(); ++layer) {
      blocks[layer].forward(x, &next, tokens, pass::evaluate, kept[0], context(pool));
      x.swap(next);
      after(layer);
    }
  }
  static index_t longest(const packed_tokens& tokens);

  block_context context(thread_pool& pool) { return {config, rotary, scratch, memory, pool}; }
  bool trains_all() const { return parameters.data() != nullptr && parameters.data() != adapter_parameters.data(); }

  model_config config;
  std::shared_ptr<tensor_source> source;
  std::vector<std::string> notes;
  std::size_t weight_bytes = 0;
  std::deque<std::vector<float>> gains;  // of norms that aren't float where they lie
  frozen_weight embedding;
  std::vector<block> blocks;
  std::unique_ptr<head> top;

  adapter_plan plan;
  std::vector<adapter_slot> slots;
  std::vector<float> adapter_parameters, gradient;
  std::span<float> parameters;  // the adapters' or all weights
  std::span<float> embedding_gradient;
  bool checkpointing = false;

  rotary_table<float> rotary;
  sbora::workspace memory;
  block_scratch scratch;
  std::vector<matrix> inputs;           // of every block, and what the last one gives
  std::vector<block_activations> kept;  // of every block; with checkpointing of one
  matrix dhidden, next;

 private:
  norm_gain load_gain(const std::string& name);
  projection& linear(index_t number);
  void add_embedding_gradient(const packed_tokens& tokens, thread_pool& pool);
};

}  // namespace llama
