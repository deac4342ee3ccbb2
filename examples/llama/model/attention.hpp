#pragma once

#include <algorithm>
#include <cmath>
#include <optional>
#include <span>

#include "model/config.hpp"
#include "common/matrix.hpp"
#include "model/sequences.hpp"

namespace llama {

/// Heads of queries lie side by side in a token's row, and so do those of keys and values, of which
/// query / key_value query heads each share one.
struct attention_heads {
  index_t query, key_value, dim;
  index_t window = all_keys;              ///< keys that a query sees, its own the last of them
  std::optional<double> multiplier = {};  ///< of q·k; 1/sqrt(dim) without

  attention_heads(const model_config& config, index_t layer)
      : query(config.num_attention_heads),
        key_value(config.num_key_value_heads),
        dim(config.head_dim),
        window(config.arch.layer(layer).window),
        multiplier(config.arch.attention_multiplier) {}
  attention_heads(index_t query_, index_t key_value_, index_t dim_) : query(query_), key_value(key_value_), dim(dim_) {}

  index_t group() const { return query / key_value; }
  /// The first key that a query sees, of keys before it and its own, all counted from the same one.
  index_t first_seen(index_t query_at) const { return std::max<index_t>(0, query_at + 1 - window); }
  template <class T>
  T scale() const {
    return multiplier ? static_cast<T>(*multiplier) : 1 / std::sqrt(static_cast<T>(dim));
  }
};

/// Queries whose scores are held at a time: 64 x length numbers, whatever the batch.
inline constexpr index_t query_block = 64;

/// One head's part of some tokens.
template <class T>
using head_view = Eigen::Map<matrix_of<T>, 0, Eigen::OuterStride<>>;
template <class T>
using const_head_view = Eigen::Map<const matrix_of<T>, 0, Eigen::OuterStride<>>;

template <class T>
head_view<T> head_of(matrix_of<T>& x, index_t first, index_t count, index_t head, index_t dim) {
  return {&x(first, head * dim), count, dim, Eigen::OuterStride<>(x.cols())};
}
template <class T>
const_head_view<T> head_of(const matrix_of<T>& x, index_t first, index_t count, index_t head, index_t dim) {
  return {&x(first, head * dim), count, dim, Eigen::OuterStride<>(x.cols())};
}

/// Causal attention within every sequence and the window, y = softmax(scale q k^T) v. log_sums (tokens x query
/// heads) gets the logarithm of each softmax's denominator, all that the backward needs of it.
template <class T>
void attention(const matrix_of<T>& q, const matrix_of<T>& k, const matrix_of<T>& v,
               std::span<const token_range> sequences, const attention_heads& heads, matrix_of<T>& y,
               matrix_of<T>& log_sums, thread_pool& pool) {
  y.resize(q.rows(), q.cols());
  log_sums.resize(q.rows(), heads.query);
  const T scale = heads.scale<T>();
  pool.parallel_for(std::ssize(sequences) * heads.query, [&](index_t task) {
    const token_range range = sequences[static_cast<std::size_t>(task / heads.query)];
    const index_t head = task % heads.query;
    matrix_of<T> scores(std::min(query_block, range.length), range.length);
    for (index_t begin = 0; begin < range.length; begin += query_block) {
      const index_t rows = std::min(query_block, range.length - begin);
      const index_t first = range.first + begin;
      const index_t low = heads.first_seen(begin);
      const index_t seen = begin + rows - low;  // keys that any of these queries sees, from low on
      auto weights = scores.topLeftCorner(rows, seen);
      weights.noalias() = head_of(q, first, rows, head, heads.dim) *
                          head_of(k, range.first + low, seen, head / heads.group(), heads.dim).transpose();
      auto out = head_of(y, first, rows, head, heads.dim);
      for (index_t row = 0; row < rows; ++row) {
        const index_t from = heads.first_seen(begin + row) - low, to = begin + row + 1 - low;
        auto visible = weights.row(row).segment(from, to - from).array();
        const T largest = visible.maxCoeff();
        visible = ((visible - largest) * scale).exp();
        const T sum = visible.sum();
        visible *= 1 / sum;
        weights.row(row).head(from).setZero();
        weights.row(row).tail(seen - to).setZero();
        log_sums(first + row, head) = largest * scale + std::log(sum);
      }
      out.noalias() = weights * head_of(v, range.first + low, seen, head / heads.group(), heads.dim);
    }
  });
}

/// Gradients of q, k and v, which are overwritten. dq may be q.
template <class T>
void attention_backward(const matrix_of<T>& q, const matrix_of<T>& k, const matrix_of<T>& v,
                        const matrix_of<T>& log_sums, const matrix_of<T>& dy, std::span<const token_range> sequences,
                        const attention_heads& heads, matrix_of<T>& dq, matrix_of<T>& dk, matrix_of<T>& dv,
                        thread_pool& pool) {
  dq.resize(q.rows(), q.cols());
  dk.resize(k.rows(), k.cols());
  dv.resize(v.rows(), v.cols());
  const T scale = heads.scale<T>();
  // Query heads that share keys are one task, whose sums have one order.
  pool.parallel_for(std::ssize(sequences) * heads.key_value, [&](index_t task) {
    const token_range range = sequences[static_cast<std::size_t>(task / heads.key_value)];
    const index_t shared = task % heads.key_value;
    head_of(dk, range.first, range.length, shared, heads.dim).setZero();
    head_of(dv, range.first, range.length, shared, heads.dim).setZero();
    matrix_of<T> scores(std::min(query_block, range.length), range.length);
    matrix_of<T> gradients(scores.rows(), scores.cols());
    for (index_t begin = 0; begin < range.length; begin += query_block) {
      const index_t rows = std::min(query_block, range.length - begin);
      const index_t first = range.first + begin;
      const index_t low = heads.first_seen(begin);
      const index_t seen = begin + rows - low;
      const auto keys = head_of(k, range.first + low, seen, shared, heads.dim);
      const auto values = head_of(v, range.first + low, seen, shared, heads.dim);
      auto weights = scores.topLeftCorner(rows, seen);
      auto dweights = gradients.topLeftCorner(rows, seen);
      for (index_t head = shared * heads.group(); head < (shared + 1) * heads.group(); ++head) {
        const auto queries = head_of(q, first, rows, head, heads.dim);
        const auto dout = head_of(dy, first, rows, head, heads.dim);
        weights.noalias() = queries * keys.transpose();
        dweights.noalias() = dout * values.transpose();
        for (index_t row = 0; row < rows; ++row) {
          const index_t from = heads.first_seen(begin + row) - low, to = begin + row + 1 - low;
          auto w = weights.row(row).segment(from, to - from).array();
          auto dw = dweights.row(row).segment(from, to - from).array();
          w = (w * scale - log_sums(first + row, head)).exp();
          dw = w * (dw - (w * dw).sum()) * scale;
          for (auto* const each : {&weights, &dweights}) {
            each->row(row).head(from).setZero();
            each->row(row).tail(seen - to).setZero();
          }
        }
        head_of(dv, range.first + low, seen, shared, heads.dim).noalias() += weights.transpose() * dout;
        head_of(dk, range.first + low, seen, shared, heads.dim).noalias() += dweights.transpose() * queries;
        head_of(dq, first, rows, head, heads.dim).noalias() = dweights * keys;
      }
    }
  });
}

}  // namespace llama
