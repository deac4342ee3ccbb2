#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "model/adapter_plan.hpp"
#include "model/batch.hpp"
#include "model/block.hpp"
#include "model/config.hpp"
#include "model/head.hpp"
#include "weights/load_options.hpp"
#include "weights/tensors.hpp"

namespace llama {

/// A weight in memory, for models that come from no file. Name and shape as in the checkpoint; norms
/// have one column.
struct named_tensor {
  std::string name;
  matrix values;
};

/// How one token was predicted.
struct token_score {
  index_t sequence;  ///< of the batch
  double loss;       ///< nats
  bool greedy;       ///< no other is more likely
};

/// Bytes, for reports. Activations: what the last training pass kept for its backward.
struct memory_report {
  std::size_t weights = 0;
  std::size_t adapters = 0;  ///< parameters and gradients
  std::size_t activations = 0;
};

/// That a base model has the tensors of this configuration and the options fit them: all that load() refuses, without
/// loading. Errors: input_error.
void check_model(const std::filesystem::path& base_model, const model_config& config, const load_options& options);

class decoder;

/// LlamaForCausalLM, or what config().arch makes of it, whose linear layers are sbora's: frozen, with adapters on them,
/// or (train_base) all trained.
///
/// Lifetime    owns everything, the mapped checkpoint included. Movable; spans stay valid.
/// Numerics    float32; with load_options::bf16 the frozen products read weights and activations in bfloat16, and sum
///             in float32. Equal bits for any number of threads, with gradient checkpointing or without.
/// Thread      one call at a time.
/// Errors      input_error for what a user can correct, before any long work.
class model {
 public:
  /// From a Hugging Face directory, config.json and model.safetensors or its shards; or from a GGUF file, with the rows
  /// of q and k as the file has them (adapters' files have Hugging Face's order).
  static model load(const std::filesystem::path& base_model, const load_options& options, thread_pool& pool);
  /// From tensors in memory. Errors: input_error that lists what is missing, unknown or of another shape.
  model(const model_config& config, const std::vector<named_tensor>& tensors);
  /// From wherever the source has them, which it keeps. Requires: all are there, of the right shapes.
  model(const model_config& config, std::shared_ptr<tensor_source> source, const load_options& options,
        thread_pool& pool);
  /// With random weights, normal of standard deviation 0.02 as transformers makes them.
  static model random(const model_config& config, std::uint64_t seed);

  /// As it is computed with: untied where the file's head differs from the embedding.
  const model_config& config() const { return config_; }
  /// A line for each thing in the files that users should know of, as a field that isn't used.
  const std::vector<std::string>& notes() const { return notes_; }

  /// Puts adapters on the target modules, in place of those that are there; method none takes them away.
  /// FA and FB start at zero, LoRA with A Kaiming-uniform and B zero, as PEFT. Errors: input_error for a
  /// target that matches no linear layer, or a rank that is larger than a layer.
  void attach(const adapter_plan& plan) { attach(plan, nullptr); }
  /// The same with given regions, one for every adapted module in order: what a saved adapter holds.
  void attach(const adapter_plan& plan, const std::vector<sbora::region>& regions) { attach(plan, &regions); }
  /// Serving: several adapters at once, in place of others, for evaluation and decoding. Each token has its own by
  /// `rows`, which are told of every pass's tokens before it. deltas_of(module): the adapters' parts of a linear layer.
  template <class DeltasOf>
  void attach_mixed(const DeltasOf& deltas_of, const sbora::adapter_rows& rows) {
    remove_adapters();
    for (block& each : blocks_) {
      for (projection& layer : each.linears()) layer.attach_mixed(deltas_of(layer.name()), rows);
    }
  }
  /// In place of adapters: observer_of(module) is shown every forward_backward of that layer. Empty: none.
  template <class ObserverOf>
  void attach_observers(const ObserverOf& observer_of) {
    remove_adapters();
    for (block& each : blocks_) {
      for (projection& layer : each.linears()) {
        if (linear_observer show = observer_of(layer.name())) layer.attach_observer(std::move(show));
      }
    }
  }
  const adapter_plan& plan() const { return plan_; }
  /// In the order of parameters(): by layer, then as linear_layers() has them.
  const std::vector<adapter_slot>& adapters() const { return slots_; }
  /// Linear layers that may have an adapter.
  std::vector<std::string> linear_modules() const;

  /// Pre-training: all weights become parameters. Needs a model in memory in float32. Errors: input_error.
  void train_all_weights();

  /// What is trained and its gradient: all adapters' halves, or all weights, in one flat array each.
  std::span<float> parameters() { return parameters_; }
  std::span<float> gradient() { return gradient_; }
  void zero_gradient() { std::ranges::fill(gradient_, 0.0f); }
  /// Whether these are all weights.
  bool trains_all() const { return parameters_.data() != nullptr && parameters_.data() != adapter_parameters_.data(); }

  /// gradient += gradient_scale * d(sum of nats)/d(parameters).
  loss_sum forward_backward(const token_batch& batch, float gradient_scale, thread_pool& pool);
  /// The loss without dropout.
  loss_sum evaluate(const token_batch& batch, thread_pool& pool);
  /// The same, token by token: of each sequence in turn, those that are scored.
  std::vector<token_score> score(const token_batch& batch, thread_pool& pool);
  /// All logits, sequences * length x vocab_size, zero on padding; without dropout. Large: for tests.
  matrix logits(const token_batch& batch, thread_pool& pool);

  /// Dropout masks follow from (plan.seed, layer, step) alone: give every forward_backward its own.
  void set_training_step(std::uint64_t step);
  /// Keep a block's input only and compute the rest again for the backward: same gradients, bit for bit.
  void set_gradient_checkpointing(bool on);

  memory_report memory() const;

  /// Saves config.json and model.safetensors as transformers reads them, without the adapters; the weights as
  /// they were stored, not the codes they were quantised to. Errors: sbora::file_error.
  void save(const std::filesystem::path& directory) const;

  /// What it is made of.
  const tensor_source& source() const { return *source_; }
  const sbora::any_weight& embedding() const { return embedding_; }
  const std::vector<block>& blocks() const { return blocks_; }
  const head& top() const { return *top_; }

 private:
  friend class decoder;
  static model in_memory(const model_config& config, std::shared_ptr<flat_tensors> tensors);

  std::span<const float> load_floats(const std::string& name);
  projection& linear(index_t number);
  void attach(const adapter_plan& plan, const std::vector<sbora::region>* regions);
  void remove_adapters() { attach({}, nullptr); }

  block_context context(thread_pool& pool) { return {config_, rotary_, scratch_, memory_, pool}; }
  /// Embeds tokens into x and makes rotary angles for positions below `positions`.
  void embed(std::span<const std::int32_t> ids, index_t positions, matrix& x, thread_pool& pool);
  /// Runs all blocks in evaluation; the result is in x. after(layer) is called when a block is done.
  template <class After>
  void run_blocks(const packed_tokens& tokens, matrix& x, thread_pool& pool, After after) {
    embed(tokens.ids, longest(tokens), x, pool);
    for (std::size_t layer = 0; layer < blocks_.size(); ++layer) {
      blocks_[layer].forward(x, &next_, tokens, pass::evaluate, kept_[0], context(pool));
      x.swap(next_);
      after(layer);
    }
  }
  void add_embedding_gradient(const packed_tokens& tokens, thread_pool& pool);

  model_config config_;
  std::shared_ptr<tensor_source> source_;
  std::vector<std::string> notes_;
  std::size_t weight_bytes_ = 0;
  std::deque<std::vector<float>> vectors_;  // norms and biases that aren't float where they lie
  sbora::any_weight embedding_;
  std::vector<block> blocks_;
  std::unique_ptr<head> top_;

  adapter_plan plan_;
  std::vector<adapter_slot> slots_;
  std::vector<float> adapter_parameters_, gradient_;
  std::span<float> parameters_;  // the adapters' or all weights
  std::span<float> embedding_gradient_;
  bool checkpointing_ = false;

  rotary_table<float> rotary_;
  sbora::workspace memory_;
  block_scratch scratch_;
  std::vector<matrix> inputs_;           // of every block, and what the last one gives
  std::vector<block_activations> kept_;  // of every block; with checkpointing of one
  matrix dhidden_, next_;
};

}  // namespace llama
