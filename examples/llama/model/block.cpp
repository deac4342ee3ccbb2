#include "model/block.hpp"

#include "model/rms_norm.hpp"
#include "model/swiglu.hpp"

namespace llama {
namespace {

void add(const matrix& x, matrix& y, thread_pool& pool) {
  for_row_blocks(y.rows(), pool,
                 [&](index_t first, index_t count) { y.middleRows(first, count) += x.middleRows(first, count); });
}

template <class... Matrix>
std::size_t bytes_of(const Matrix&... matrices) {
  return sizeof(float) * (static_cast<std::size_t>(matrices.size()) + ...);
}

}  // namespace

std::size_t block_activations::bytes() const {
  return bytes_of(attention_inverse_rms, mlp_inverse_rms, q, k, v, log_sums, attended, middle, gate, up);
}

void block::forward(const matrix& x, matrix* y, const packed_tokens& tokens, pass what, block_activations& kept,
                    const block_context& with) {
  project(x, tokens.positions, what, kept, with);
  matrix& attended = what == pass::train && needs_input({output}) ? kept.attended : with.scratch.attended;
  attention<float>(kept.q, kept.k, kept.v, tokens.sequences, attention_heads(with.config), attended, kept.log_sums,
                   with.pool);
  finish(x, attended, y, what, kept, with);
}

void block::forward_cached(const matrix& x, matrix& y, std::span<const index_t> positions, layer_cache& cache,
                           block_activations& kept, const block_context& with) {
  project(x, positions, pass::evaluate, kept, with);
  for (index_t sequence = 0; sequence < x.rows(); ++sequence) cache.append(sequence, kept.k, kept.v, {sequence, 1});
  cached_attention(kept.q, cache, attention_heads(with.config), with.scratch.attended, with.pool);
  finish(x, with.scratch.attended, &y, pass::evaluate, kept, with);
}

void block::project(const matrix& x, std::span<const index_t> positions, pass what, block_activations& kept,
                    const block_context& with) {
  matrix& normed = with.scratch.normed;
  rms_norm<float>(x, attention_norm_.values, static_cast<float>(with.config.rms_norm_eps), normed,
                  kept.attention_inverse_rms, with.pool);
  linears_[query].forward(normed, kept.q, what, with.memory, with.pool);
  linears_[key].forward(normed, kept.k, what, with.memory, with.pool);
  linears_[value].forward(normed, kept.v, what, with.memory, with.pool);
  rotate(kept.q, with.config.head_dim, positions, with.rotary, rotation::forward, with.pool);
  rotate(kept.k, with.config.head_dim, positions, with.rotary, rotation::forward, with.pool);
}

void block::finish(const matrix& x, const matrix& attended, matrix* y, pass what, block_activations& kept,
                   const block_context& with) {
  linears_[output].forward(attended, kept.middle, what, with.memory, with.pool);
  add(x, kept.middle, with.pool);
  matrix& normed = with.scratch.normed;
  rms_norm<float>(kept.middle, mlp_norm_.values, static_cast<float>(with.config.rms_norm_eps), normed,
                  kept.mlp_inverse_rms, with.pool);
  linears_[gate].forward(normed, kept.gate, what, with.memory, with.pool);
  linears_[up].forward(normed, kept.up, what, with.memory, with.pool);
  if (!y) return;
  swiglu(kept.gate, kept.up, with.scratch.hidden, with.pool);
  linears_[down].forward(with.scratch.hidden, *y, what, with.memory, with.pool);
  add(kept.middle, *y, with.pool);
}

void block::backward(const matrix& x, matrix& dy, const packed_tokens& tokens, block_activations& kept, bool needs_dx,
                     const block_context& with) {
  backward_mlp(dy, kept, with);
  backward_attention(x, dy, tokens, kept, needs_dx, with);
}

/// What the forward computed cheaply (norms, swiglu) is computed again where a layer needs its input.
void block::backward_mlp(matrix& dy, block_activations& kept, const block_context& with) {
  block_scratch& scratch = with.scratch;
  if (needs_input({down})) swiglu(kept.gate, kept.up, scratch.hidden, with.pool);
  linears_[down].backward(scratch.hidden, dy, &scratch.dhidden, with.memory, with.pool);
  swiglu_backward(kept.gate, kept.up, scratch.dhidden, scratch.dup, with.pool);
  if (needs_input({gate, up})) {
    rms_norm_again<float>(kept.middle, mlp_norm_.values, kept.mlp_inverse_rms, scratch.normed, with.pool);
  }
  linears_[gate].backward(scratch.normed, scratch.dhidden, &scratch.dnormed, with.memory, with.pool);
  linears_[up].backward(scratch.normed, scratch.dup, &scratch.part, with.memory, with.pool);
  add(scratch.part, scratch.dnormed, with.pool);
  if (!mlp_norm_.gradient.empty()) {
    rms_norm_gain_gradient(kept.middle, kept.mlp_inverse_rms, scratch.dnormed, mlp_norm_.gradient, with.pool);
  }
  rms_norm_backward<float>(kept.middle, mlp_norm_.values, kept.mlp_inverse_rms, scratch.dnormed, dy, with.pool);
}

void block::backward_attention(const matrix& x, matrix& dy, const packed_tokens& tokens, block_activations& kept,
                               bool needs_dx, const block_context& with) {
  block_scratch& scratch = with.scratch;
  linears_[output].backward(kept.attended, dy, &scratch.dattended, with.memory, with.pool);
  attention_backward<float>(kept.q, kept.k, kept.v, kept.log_sums, scratch.dattended, tokens.sequences,
                            attention_heads(with.config), scratch.dq, scratch.dk, scratch.dv, with.pool);
  rotate(scratch.dq, with.config.head_dim, tokens.positions, with.rotary, rotation::backward, with.pool);
  rotate(scratch.dk, with.config.head_dim, tokens.positions, with.rotary, rotation::backward, with.pool);
  if (needs_input({query, key, value})) {
    rms_norm_again<float>(x, attention_norm_.values, kept.attention_inverse_rms, scratch.normed, with.pool);
  }
  matrix* const dnormed = needs_dx ? &scratch.dnormed : nullptr;
  matrix* const part = needs_dx ? &scratch.part : nullptr;
  linears_[query].backward(scratch.normed, scratch.dq, dnormed, with.memory, with.pool);
  linears_[key].backward(scratch.normed, scratch.dk, part, with.memory, with.pool);
  if (needs_dx) add(scratch.part, scratch.dnormed, with.pool);
  linears_[value].backward(scratch.normed, scratch.dv, part, with.memory, with.pool);
  if (!needs_dx) return;
  add(scratch.part, scratch.dnormed, with.pool);
  if (!attention_norm_.gradient.empty()) {
    rms_norm_gain_gradient(x, kept.attention_inverse_rms, scratch.dnormed, attention_norm_.gradient, with.pool);
  }
  rms_norm_backward<float>(x, attention_norm_.values, kept.attention_inverse_rms, scratch.dnormed, dy, with.pool);
}

}  // namespace llama
