#pragma once

#include <array>
#include <vector>

#include "model/attention.hpp"
#include "model/kv_cache.hpp"
#include "model/projection.hpp"
#include "model/rotary.hpp"

namespace llama {

/// A norm's gain, and its gradient where it is trained.
struct norm_gain {
  std::span<const float> values;
  std::span<float> gradient = {};
};

/// What a block's backward needs of its forward, beside the block's input.
struct block_activations {
  std::vector<float> attention_inverse_rms, mlp_inverse_rms;
  matrix q, k, v;   ///< rotated
  matrix log_sums;  ///< of the softmaxes
  matrix attended;  ///< the attention's result, kept where o_proj needs its input
  matrix middle;    ///< after the attention's residual
  matrix gate, up;

  std::size_t bytes() const;
};

/// Matrices that all blocks use in turn.
struct block_scratch {
  matrix normed, attended, hidden, dhidden, dup, dattended, dq, dk, dv, dnormed, part;
};

/// What a pass over the blocks needs besides activations.
struct block_context {
  const model_config& config;
  const rotary_table<float>& rotary;
  block_scratch& scratch;
  sbora::workspace& memory;
  thread_pool& pool;
};

/// One layer: x + o(attention(norm(x))), then that + down(swiglu(norm(...))).
class block {
 public:
  enum linear_layer { query, key, value, output, gate, up, down, linear_count };

  block(std::vector<projection> linears, norm_gain attention_norm, norm_gain mlp_norm)
      : linears_(std::move(linears)), attention_norm_(attention_norm), mlp_norm_(mlp_norm) {}

  std::vector<projection>& linears() { return linears_; }
  const std::vector<projection>& linears() const { return linears_; }
  norm_gain& attention_norm() { return attention_norm_; }
  const norm_gain& attention_norm() const { return attention_norm_; }
  norm_gain& mlp_norm() { return mlp_norm_; }
  const norm_gain& mlp_norm() const { return mlp_norm_; }

  /// y from x; `kept` is filled. Null for y: only that, from a forward that was done before.
  void forward(const matrix& x, matrix* y, const packed_tokens& tokens, pass what, block_activations& kept,
               const block_context& with);

  /// In place: the gradient of y becomes that of x. Without `needs_dx` what only x would need isn't computed,
  /// and dy is anything afterwards.
  void backward(const matrix& x, matrix& dy, const packed_tokens& tokens, block_activations& kept, bool needs_dx,
                const block_context& with);

  /// One more token for every sequence, whose keys and values join the cache.
  void forward_cached(const matrix& x, matrix& y, std::span<const index_t> positions, layer_cache& cache,
                      block_activations& kept, const block_context& with);

 private:
  /// Norm, q, k, v and their rotation.
  void project(const matrix& x, std::span<const index_t> positions, pass what, block_activations& kept,
               const block_context& with);
  /// From the attention's result to y.
  void finish(const matrix& x, const matrix& attended, matrix* y, pass what, block_activations& kept,
              const block_context& with);
  void backward_mlp(matrix& dy, block_activations& kept, const block_context& with);
  void backward_attention(const matrix& x, matrix& dy, const packed_tokens& tokens, block_activations& kept,
                          bool needs_dx, const block_context& with);

  bool needs_input(std::initializer_list<linear_layer> layers) const {
    return std::any_of(layers.begin(), layers.end(), [&](linear_layer l) { return linears_[l].needs_input(); });
  }

  std::vector<projection> linears_;
  norm_gain attention_norm_, mlp_norm_;
};

}  // namespace llama
