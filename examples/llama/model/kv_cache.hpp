#pragma once

#include <vector>

#include "model/attention.hpp"

namespace llama {

/// Keys and values of one layer, for every sequence `capacity` rows of which `length` are used.
struct layer_cache {
  matrix keys, values;  ///< sequences * capacity x key_value size
  index_t capacity = 0;
  std::vector<index_t> lengths;

  void reset(index_t sequences, index_t capacity_, index_t features) {
    capacity = capacity_;
    keys.resize(sequences * capacity, features);
    values.resize(sequences * capacity, features);
    lengths.assign(static_cast<std::size_t>(sequences), 0);
  }

  /// Appends the rows of k and v in `range` to a sequence.
  void append(index_t sequence, const matrix& k, const matrix& v, token_range range) {
    index_t& length = lengths[static_cast<std::size_t>(sequence)];
    const index_t row = sequence * capacity + length;
    keys.middleRows(row, range.length) = k.middleRows(range.first, range.length);
    values.middleRows(row, range.length) = v.middleRows(range.first, range.length);
    length += range.length;
  }
};

/// Attention of one query a sequence over what its cache holds, the query's own key the last, within the window.
inline void cached_attention(const matrix& q, const layer_cache& cache, const attention_heads& heads, matrix& y,
                             thread_pool& pool) {
  y.resize(q.rows(), q.cols());
  const float scale = heads.scale<float>();
  pool.parallel_for(q.rows() * heads.query, [&](index_t task) {
    const index_t sequence = task / heads.query;
    const index_t head = task % heads.query;
    const index_t all = cache.lengths[static_cast<std::size_t>(sequence)];
    const index_t first = sequence * cache.capacity + heads.first_seen(all - 1);
    const index_t length = all - heads.first_seen(all - 1);
    Eigen::RowVectorXf weights(length);
    weights.noalias() = head_of(q, sequence, 1, head, heads.dim) *
                        head_of(cache.keys, first, length, head / heads.group(), heads.dim).transpose();
    weights = ((weights.array() - weights.maxCoeff()) * scale).exp();
    weights /= weights.sum();
    head_of(y, sequence, 1, head, heads.dim).noalias() =
        weights * head_of(cache.values, first, length, head / heads.group(), heads.dim);
  });
}

}  // namespace llama
