#include "model/head.hpp"

#include <sbora/layers/any_linear.hpp>

#include "model/loss.hpp"
#include "model/rms_norm.hpp"

namespace llama {
namespace {

/// Tokens whose logits exist at a time: 64 MiB of them.
index_t chunk_tokens(index_t vocab_size) { return std::max<index_t>(64, (index_t{1} << 24) / vocab_size); }

/// Rows of the weight that are multiplied at a time in the backward, whose inner dimension they are: their
/// panel stays in the cache then.
constexpr index_t backward_rows = 2048;

void gather(const matrix& from, std::span<const index_t> tokens, matrix& rows, thread_pool& pool) {
  rows.resize(std::ssize(tokens), from.cols());
  for_row_blocks(rows.rows(), pool, [&](index_t first, index_t count) {
    for (index_t i = first; i < first + count; ++i) rows.row(i) = from.row(tokens[static_cast<std::size_t>(i)]);
  });
}

void scatter(const matrix& rows, std::span<const index_t> tokens, matrix& to, thread_pool& pool) {
  for_row_blocks(rows.rows(), pool, [&](index_t first, index_t count) {
    for (index_t i = first; i < first + count; ++i) to.row(tokens[static_cast<std::size_t>(i)]) = rows.row(i);
  });
}

/// What divides the logits divides the rows that they are products of, and of those there are fewer.
void divide(matrix& rows, double divisor, thread_pool& pool) {
  if (divisor == 1) return;
  const auto factor = static_cast<float>(1 / divisor);
  for_row_blocks(rows.rows(), pool, [&](index_t first, index_t count) { rows.middleRows(first, count) *= factor; });
}

}  // namespace

void head::norm_rows(const matrix& hidden, const block_context& with) {
  gather(hidden, tokens_, rows_, with.pool);
  rms_norm<float>(rows_, norm_.values, static_cast<float>(with.config.rms_norm_eps), normed_, inverse_rms_, with.pool);
  divide(normed_, with.config.arch.logits_divisor, with.pool);
}

void head::multiply(matrix_part out, const block_context& with) {
  input_->read(normed_, with.pool,
               [&](const auto& in) { sbora::linear(weight_).forward(in, out, with.memory, with.pool); });
}

loss_sum head::loss(const matrix& hidden, std::span<const target> targets, float gradient_scale, matrix* dhidden,
                    const block_context& with) {
  if (dhidden) dhidden->setZero(hidden.rows(), hidden.cols());
  loss_sum sum;
  const index_t most = chunk_tokens(weight_.d_out());
  std::vector<std::int32_t> labels;
  std::vector<double> losses;
  for (index_t first = 0; first < std::ssize(targets); first += most) {
    const index_t count = std::min(most, std::ssize(targets) - first);
    tokens_.clear();
    labels.clear();
    for (const target& each : targets.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count))) {
      tokens_.push_back(each.token);
      labels.push_back(each.next);
    }
    losses.resize(labels.size());
    norm_rows(hidden, with);
    if (logits_.rows() < count) logits_.resize(count, weight_.d_out());
    const matrix_part logits = logits_.topRows(count);
    multiply(logits, with);
    if (dhidden) {
      softmax_cross_entropy<float>(logits, labels, gradient_scale, losses, with.pool);
      backward(logits, with);
      scatter(drows_, tokens_, *dhidden, with.pool);
    } else {
      cross_entropy<float>(logits, labels, losses, with.pool);
    }
    for (const double loss : losses) sum.total += loss;
    sum.count += count;
  }
  return sum;
}

/// From the gradient of a chunk's logits to that of its rows.
void head::backward(const matrix_part& dlogits, const block_context& with) {
  if (!weight_gradient_.empty()) add_weight_gradient(dlogits, normed_, weight_gradient_, with.pool);
  for (index_t first = 0; first < weight_.d_out(); first += backward_rows) {
    const index_t count = std::min(backward_rows, weight_.d_out() - first);
    matrix& result = first == 0 ? dnormed_ : part_;
    const sbora::linear part(weight_.part({{first, first + count}, {0, weight_.d_in()}}));
    result.resize(dlogits.rows(), part.d_in());
    input_->read(dlogits.middleCols(first, count), with.pool,
                 [&](const auto& in) { part.backward(in, result, with.memory, with.pool); });
    if (first == 0) continue;
    for_row_blocks(dnormed_.rows(), with.pool,
                   [&](index_t row, index_t rows) { dnormed_.middleRows(row, rows) += part_.middleRows(row, rows); });
  }
  divide(dnormed_, with.config.arch.logits_divisor, with.pool);
  if (!norm_.gradient.empty()) rms_norm_gain_gradient(rows_, inverse_rms_, dnormed_, norm_.gradient, with.pool);
  drows_.setZero(rows_.rows(), rows_.cols());
  rms_norm_backward<float>(rows_, norm_.values, inverse_rms_, dnormed_, drows_, with.pool);
}

void head::logits(const matrix& hidden, std::span<const index_t> tokens, matrix& out, const block_context& with) {
  tokens_.assign(tokens.begin(), tokens.end());
  norm_rows(hidden, with);
  out.resize(normed_.rows(), weight_.d_out());
  multiply(out, with);
}

}  // namespace llama
