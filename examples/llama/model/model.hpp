#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <sbora/regions/region.hpp>
#include <sbora/weights/four_bit_view.hpp>

#include "model/adapter_plan.hpp"
#include "model/batch.hpp"
#include "model/config.hpp"

namespace llama {

/// How the linear layers' weights are kept. Embedding, norms and head stay as they are stored, as
/// bitsandbytes leaves them.
struct load_options {
  int bits = 16;  ///< 16: as stored (float32, bfloat16, float16, bitsandbytes' codes), in place; 8: LLM.int8; 4
  sbora::four_bit_type four_bit = sbora::four_bit_type::nf4;
  index_t blocksize = 64;
  bool double_quant = true;
  /// Called with the layers done and all of them.
  std::function<void(index_t, index_t)> progress;
};

/// A weight in memory, for models that come from no file. Name and shape as in the checkpoint; norms
/// have one column.
struct named_tensor {
  std::string name;
  matrix values;
};

/// One adapted linear layer, for saving, loading and comparing. The spans are parts of parameters().
struct adapter_slot {
  std::string module;  ///< "model.layers.0.self_attn.q_proj"
  adapter_method method;
  index_t d_out, d_in, rank;
  const sbora::region* target = nullptr;  ///< FA: its columns, FB: its rows
  std::span<float> a;                     ///< rank x d_in; empty for FA
  std::span<float> b;                     ///< d_out x rank; empty for FB
  std::size_t offset = 0;                 ///< of a (where there is one, else of b) in parameters()
};

/// Bytes, for reports. Activations: what the last training pass kept for its backward.
struct memory_report {
  std::size_t weights = 0;
  std::size_t adapters = 0;  ///< parameters and gradients
  std::size_t activations = 0;
};

/// That a directory has the tensors of this configuration and the options fit them: all that load() refuses, without
/// loading. Errors: input_error.
void check_model(const std::filesystem::path& directory, const model_config& config, const load_options& options);

struct model_parts;
class decoder;

/// LlamaForCausalLM whose linear layers are sbora's: frozen, with adapters on them, or (train_base) all
/// trained.
///
/// Lifetime    owns everything, the mapped checkpoint included. Movable; spans stay valid.
/// Numerics    float32. Equal bits for any number of threads, with gradient checkpointing or without.
/// Thread      one call at a time.
/// Errors      input_error for what a user can correct, before any long work.
class model {
 public:
  /// From a Hugging Face directory: config.json and model.safetensors or its shards.
  static model load(const std::filesystem::path& directory, const load_options& options, thread_pool& pool);
  /// From tensors in memory. Errors: input_error that lists what is missing, unknown or of another shape.
  model(const model_config& config, std::vector<named_tensor> tensors);
  /// With random weights, normal of standard deviation 0.02 as transformers makes them.
  static model random(const model_config& config, std::uint64_t seed);

  model(model&&) noexcept;
  model& operator=(model&&) noexcept;
  ~model();

  /// As it is computed with: untied where the file's head differs from the embedding.
  const model_config& config() const;
  /// A line for each thing in the files that users should know of, as a field that isn't used.
  const std::vector<std::string>& notes() const;

  /// Puts adapters on the target modules, in place of those that are there; method none takes them away.
  /// FA and FB start at zero, LoRA with A Kaiming-uniform and B zero, as PEFT. Errors: input_error for a
  /// target that matches no linear layer, or a rank that is larger than a layer.
  void attach(const adapter_plan& plan);
  /// The same with given regions, one for every adapted module in order: what a saved adapter holds.
  void attach(const adapter_plan& plan, std::vector<sbora::region> regions);
  const adapter_plan& plan() const;
  /// In the order of parameters(): by layer, then q, k, v, o, gate, up, down.
  const std::vector<adapter_slot>& adapters() const;
  /// Linear layers that may have an adapter.
  std::vector<std::string> linear_modules() const;

  /// Pre-training: all weights become parameters. Needs a model in memory in float32. Errors: input_error.
  void train_all_weights();

  /// What is trained and its gradient: all adapters' halves, or all weights, in one flat array each.
  std::span<float> parameters();
  std::span<float> gradient();
  void zero_gradient();

  /// gradient += gradient_scale * d(sum of nats)/d(parameters).
  loss_sum forward_backward(const token_batch& batch, float gradient_scale, thread_pool& pool);
  /// The loss without dropout.
  loss_sum evaluate(const token_batch& batch, thread_pool& pool);
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

  const model_parts& parts() const { return *parts_; }

 private:
  friend class decoder;
  explicit model(std::unique_ptr<model_parts> parts);

  std::unique_ptr<model_parts> parts_;
};

}  // namespace llama
