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

/// A block's norms, in the order of norm_names. Those of heads are for architectures that have them.
enum class norm { before_attention, before_mlp, of_query, of_key };
inline constexpr const char* norm_names[] = {"input_layernorm", "post_attention_layernorm", "self_attn.q_norm",
                                             "self_attn.k_norm"};

/// What a block's backward needs of its forward, beside the block's input.
struct block_activations {
  std::vector<float> attention_inverse_rms, mlp_inverse_rms;
  /// What came of a projection, for the norm of its heads: a row for each head of each token.
  struct head_inputs {
    matrix values;
    std::vector<float> inverse_rms;
  } query_heads, key_heads;
  matrix q, k, v;   ///< normed and rotated
  matrix log_sums;  ///< of the softmaxes
  matrix attended;  ///< the attention's result, kept where o_proj needs its input
  matrix middle;    ///< after the attention's residual
  matrix gate, up;

  std::size_t bytes() const;
};

/// Matrices that all blocks use in turn.
struct block_scratch {
  matrix normed, attended, hidden, dhidden, dup, dattended, dq, dk, dv, dnormed, part, dbranch, fused;
};

/// What a pass over the blocks needs besides activations.
struct block_context {
  const model_config& config;
  const rotary_table<float>& rotary;
  block_scratch& scratch;
  sbora::workspace& memory;
  thread_pool& pool;
};

/// One layer: x + o(attention(norm(x))), then that + down(swiglu(norm(...))); architecture says in what it differs.
class block {
 public:
  /// Linear layers as linear_layers() has them; norms as norm_names has them, all or the first two.
  block(const model_config& config, index_t layer, std::vector<projection> linears, std::vector<norm_gain> norms)
      : heads_(config, layer),
        is_rotary_(config.arch.layer(layer).rotary),
        is_fused_(config.arch.fused),
        linears_(std::move(linears)),
        norms_(std::move(norms)) {}

  std::vector<projection>& linears() { return linears_; }
  const std::vector<projection>& linears() const { return linears_; }
  std::vector<norm_gain>& norms() { return norms_; }

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
  norm_gain& gain(norm which) { return norms_[static_cast<std::size_t>(which)]; }
  bool has_head_norms() const { return norms_.size() > 2; }
  std::span<projection> qkv() { return std::span(linears_).first(is_fused_ ? 1 : 3); }
  projection& output() { return linears_[is_fused_ ? 1 : 3]; }
  std::span<projection> gate_up() { return std::span(linears_).last(is_fused_ ? 2 : 3).first(is_fused_ ? 1 : 2); }
  projection& down() { return linears_.back(); }

  /// Norm, q, k, v, the norms of their heads, and their rotation.
  void project(const matrix& x, std::span<const index_t> positions, pass what, block_activations& kept,
               const block_context& with);
  /// From the attention's result to y.
  void finish(const matrix& x, const matrix& attended, matrix* y, pass what, block_activations& kept,
              const block_context& with);
  void backward_mlp(matrix& dy, block_activations& kept, const block_context& with);
  void backward_attention(const matrix& x, matrix& dy, const packed_tokens& tokens, block_activations& kept,
                          bool needs_dx, const block_context& with);

  attention_heads heads_;
  bool is_rotary_, is_fused_;
  std::vector<projection> linears_;
  std::vector<norm_gain> norms_;
};

}  // namespace llama
