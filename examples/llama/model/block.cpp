#include "model/block.hpp"

#include "model/rms_norm.hpp"
#include "model/swiglu.hpp"

namespace llama {
namespace {

void add(const matrix& x, matrix& y, thread_pool& pool) {
  for_row_blocks(y.rows(), pool,
                 [&](index_t first, index_t count) { y.middleRows(first, count) += x.middleRows(first, count); });
}

/// branch = x + multiplier * branch.
void add_residual(const matrix& x, matrix& branch, double multiplier, thread_pool& pool) {
  if (multiplier == 1) return add(x, branch, pool);
  const auto factor = static_cast<float>(multiplier);
  for_row_blocks(x.rows(), pool, [&](index_t first, index_t count) {
    branch.middleRows(first, count) = x.middleRows(first, count) + factor * branch.middleRows(first, count);
  });
}

/// The gradient of the branch, from that of the sum: itself where the multiplier is 1.
const matrix& branch_gradient(const matrix& dy, const block_context& with) {
  const auto factor = static_cast<float>(with.config.arch.residual_multiplier);
  if (factor == 1) return dy;
  matrix& scaled = with.scratch.dbranch;
  scaled.resize(dy.rows(), dy.cols());
  for_row_blocks(dy.rows(), with.pool, [&](index_t first, index_t count) {
    scaled.middleRows(first, count) = factor * dy.middleRows(first, count);
  });
  return scaled;
}

bool needs_input(std::span<const projection> layers) {
  return std::any_of(layers.begin(), layers.end(), [](const projection& each) { return each.needs_input(); });
}

// ---- layers of one input: one for each result, or a fused one whose result is cut into them -----------

struct part {
  matrix* values;
  index_t width;
};

void forward_parts(std::span<projection> layers, const matrix& x, std::initializer_list<part> parts, pass what,
                   const block_context& with) {
  if (layers.size() == parts.size()) {
    for (std::size_t i = 0; i < layers.size(); ++i) {
      layers[i].forward(x, *parts.begin()[i].values, what, with.memory, with.pool);
    }
    return;
  }
  matrix& fused = with.scratch.fused;
  layers.front().forward(x, fused, what, with.memory, with.pool);
  for (const part& each : parts) each.values->resize(x.rows(), each.width);
  for_row_blocks(x.rows(), with.pool, [&](index_t first, index_t count) {
    index_t column = 0;
    for (const auto& [values, width] : parts) {
      values->middleRows(first, count) = fused.block(first, column, count, width);
      column += width;
    }
  });
}

/// dx, unless null, gets the sum over the layers.
void backward_parts(std::span<projection> layers, const matrix& x, std::initializer_list<part> gradients, matrix* dx,
                    const block_context& with) {
  block_scratch& scratch = with.scratch;
  if (layers.size() == gradients.size()) {
    for (std::size_t i = 0; i < layers.size(); ++i) {
      matrix* const own = dx && i > 0 ? &scratch.part : dx;
      layers[i].backward(x, *gradients.begin()[i].values, own, with.memory, with.pool);
      if (own != dx) add(*own, *dx, with.pool);
    }
    return;
  }
  scratch.fused.resize(gradients.begin()->values->rows(), layers.front().d_out());
  for_row_blocks(scratch.fused.rows(), with.pool, [&](index_t first, index_t count) {
    index_t column = 0;
    for (const auto& [values, width] : gradients) {
      scratch.fused.block(first, column, count, width) = values->middleRows(first, count);
      column += width;
    }
  });
  layers.front().backward(x, scratch.fused, dx, with.memory, with.pool);
}

// ---- norms of heads ----------------------------------------------------------------------------------

/// Rows of `columns` numbers: Eigen keeps the numbers where there are as many.
void reshape(matrix& x, index_t columns) { x.resize(x.size() / columns, columns); }

/// x becomes the norm of each of its heads; what it was is kept.
void norm_heads(matrix& x, const norm_gain& gain, block_activations::head_inputs& kept, const block_context& with) {
  const index_t width = x.cols();
  kept.values.swap(x);
  reshape(kept.values, with.config.head_dim);
  rms_norm<float>(kept.values, gain.values, static_cast<float>(with.config.rms_norm_eps), x, kept.inverse_rms,
                  with.pool);
  reshape(x, width);
}

/// In place: the gradient of the normed heads becomes that of the heads.
void norm_heads_backward(matrix& dx, const norm_gain& gain, const block_activations::head_inputs& kept,
                         const block_context& with) {
  const index_t width = dx.cols();
  matrix& dnormed = with.scratch.part;
  dnormed.swap(dx);
  reshape(dnormed, with.config.head_dim);
  if (!gain.gradient.empty()) {
    rms_norm_gain_gradient(kept.values, kept.inverse_rms, dnormed, gain.gradient, with.pool);
  }
  dx.setZero(dnormed.rows(), dnormed.cols());
  rms_norm_backward<float>(kept.values, gain.values, kept.inverse_rms, dnormed, dx, with.pool);
  reshape(dx, width);
}

template <class... Matrix>
std::size_t bytes_of(const Matrix&... matrices) {
  return sizeof(float) * (static_cast<std::size_t>(matrices.size()) + ...);
}

}  // namespace

std::size_t block_activations::bytes() const {
  return bytes_of(attention_inverse_rms, mlp_inverse_rms, query_heads.values, query_heads.inverse_rms, key_heads.values,
                  key_heads.inverse_rms, q, k, v, log_sums, attended, middle, gate, up);
}

void block::forward(const matrix& x, matrix* y, const packed_tokens& tokens, pass what, block_activations& kept,
                    const block_context& with) {
  project(x, tokens.positions, what, kept, with);
  matrix& attended = what == pass::train && output().needs_input() ? kept.attended : with.scratch.attended;
  attention<float>(kept.q, kept.k, kept.v, tokens.sequences, heads_, attended, kept.log_sums, with.pool);
  finish(x, attended, y, what, kept, with);
}

void block::forward_cached(const matrix& x, matrix& y, std::span<const index_t> positions, layer_cache& cache,
                           block_activations& kept, const block_context& with) {
  project(x, positions, pass::evaluate, kept, with);
  for (index_t sequence = 0; sequence < x.rows(); ++sequence) cache.append(sequence, kept.k, kept.v, {sequence, 1});
  cached_attention(kept.q, cache, heads_, with.scratch.attended, with.pool);
  finish(x, with.scratch.attended, &y, pass::evaluate, kept, with);
}

void block::project(const matrix& x, std::span<const index_t> positions, pass what, block_activations& kept,
                    const block_context& with) {
  const model_config& config = with.config;
  matrix& normed = with.scratch.normed;
  rms_norm<float>(x, gain(norm::before_attention).values, static_cast<float>(config.rms_norm_eps), normed,
                  kept.attention_inverse_rms, with.pool);
  const index_t kv = config.key_value_size();
  forward_parts(qkv(), normed, {{&kept.q, config.query_size()}, {&kept.k, kv}, {&kept.v, kv}}, what, with);
  if (has_head_norms()) {
    norm_heads(kept.q, gain(norm::of_query), kept.query_heads, with);
    norm_heads(kept.k, gain(norm::of_key), kept.key_heads, with);
  }
  if (!is_rotary_) return;
  rotate(kept.q, config, positions, with.rotary, rotation::forward, with.pool);
  rotate(kept.k, config, positions, with.rotary, rotation::forward, with.pool);
}

void block::finish(const matrix& x, const matrix& attended, matrix* y, pass what, block_activations& kept,
                   const block_context& with) {
  const model_config& config = with.config;
  output().forward(attended, kept.middle, what, with.memory, with.pool);
  add_residual(x, kept.middle, config.arch.residual_multiplier, with.pool);
  matrix& normed = with.scratch.normed;
  rms_norm<float>(kept.middle, gain(norm::before_mlp).values, static_cast<float>(config.rms_norm_eps), normed,
                  kept.mlp_inverse_rms, with.pool);
  const index_t inner = config.intermediate_size;
  forward_parts(gate_up(), normed, {{&kept.gate, inner}, {&kept.up, inner}}, what, with);
  if (!y) return;
  swiglu(kept.gate, kept.up, with.scratch.hidden, with.pool);
  down().forward(with.scratch.hidden, *y, what, with.memory, with.pool);
  add_residual(kept.middle, *y, config.arch.residual_multiplier, with.pool);
}

void block::backward(const matrix& x, matrix& dy, const packed_tokens& tokens, block_activations& kept, bool needs_dx,
                     const block_context& with) {
  backward_mlp(dy, kept, with);
  backward_attention(x, dy, tokens, kept, needs_dx, with);
}

/// What the forward computed cheaply (norms, swiglu) is computed again where a layer needs its input.
void block::backward_mlp(matrix& dy, block_activations& kept, const block_context& with) {
  block_scratch& scratch = with.scratch;
  const norm_gain& own = gain(norm::before_mlp);
  if (down().needs_input()) swiglu(kept.gate, kept.up, scratch.hidden, with.pool);
  down().backward(scratch.hidden, branch_gradient(dy, with), &scratch.dhidden, with.memory, with.pool);
  swiglu_backward(kept.gate, kept.up, scratch.dhidden, scratch.dup, with.pool);
  if (needs_input(gate_up())) {
    rms_norm_again<float>(kept.middle, own.values, kept.mlp_inverse_rms, scratch.normed, with.pool);
  }
  const index_t inner = with.config.intermediate_size;
  backward_parts(gate_up(), scratch.normed, {{&scratch.dhidden, inner}, {&scratch.dup, inner}}, &scratch.dnormed, with);
  if (!own.gradient.empty()) {
    rms_norm_gain_gradient(kept.middle, kept.mlp_inverse_rms, scratch.dnormed, own.gradient, with.pool);
  }
  rms_norm_backward<float>(kept.middle, own.values, kept.mlp_inverse_rms, scratch.dnormed, dy, with.pool);
}

void block::backward_attention(const matrix& x, matrix& dy, const packed_tokens& tokens, block_activations& kept,
                               bool needs_dx, const block_context& with) {
  block_scratch& scratch = with.scratch;
  const norm_gain& own = gain(norm::before_attention);
  output().backward(kept.attended, branch_gradient(dy, with), &scratch.dattended, with.memory, with.pool);
  attention_backward<float>(kept.q, kept.k, kept.v, kept.log_sums, scratch.dattended, tokens.sequences, heads_,
                            scratch.dq, scratch.dk, scratch.dv, with.pool);
  if (is_rotary_) {
    rotate(scratch.dq, with.config, tokens.positions, with.rotary, rotation::backward, with.pool);
    rotate(scratch.dk, with.config, tokens.positions, with.rotary, rotation::backward, with.pool);
  }
  if (has_head_norms()) {
    norm_heads_backward(scratch.dq, gain(norm::of_query), kept.query_heads, with);
    norm_heads_backward(scratch.dk, gain(norm::of_key), kept.key_heads, with);
  }
  if (needs_input(qkv())) {
    rms_norm_again<float>(x, own.values, kept.attention_inverse_rms, scratch.normed, with.pool);
  }
  const index_t kv = with.config.key_value_size();
  backward_parts(qkv(), scratch.normed, {{&scratch.dq, with.config.query_size()}, {&scratch.dk, kv}, {&scratch.dv, kv}},
                 needs_dx ? &scratch.dnormed : nullptr, with);
  if (!needs_dx) return;
  if (!own.gradient.empty()) {
    rms_norm_gain_gradient(x, kept.attention_inverse_rms, scratch.dnormed, own.gradient, with.pool);
  }
  rms_norm_backward<float>(x, own.values, kept.attention_inverse_rms, scratch.dnormed, dy, with.pool);
}

}  // namespace llama
