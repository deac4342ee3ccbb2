#pragma once

#include <vector>

#include "model/attention.hpp"

namespace llama {

/// Keys and values of one layer. A sequence has a slot of `capacity` rows, of which `lengths` are used; sequences that
/// end give up their place in the batch, and their slot is left as it is.
struct layer_cache {
  matrix keys, values;  ///< slots * capacity x key_value size
  index_t capacity = 0;
  std::vector<index_t> slots, lengths;  ///< of every sequence of the batch

  void reset(index_t sequences, index_t capacity_, index_t features) {
    capacity = capacity_;
    keys.resize(sequences * capacity, features);
    values.resize(sequences * capacity, features);
    slots.clear();
    for (index_t i = 0; i < sequences; ++i) slots.push_back(i);
    lengths.assign(static_cast<std::size_t>(sequences), 0);
  }

  /// The first row of a sequence.
  index_t first_row(index_t sequence) const { return slots[static_cast<std::size_t>(sequence)] * capacity; }

  /// Appends the rows of k and v in `range` to a sequence.
  void append(index_t sequence, const matrix& k, const matrix& v, token_range range) {
    index_t& length = lengths[static_cast<std::size_t>(sequence)];
    const index_t row = first_row(sequence) + length;
    keys.middleRows(row, range.length) = k.middleRows(range.first, range.length);
    values.middleRows(row, range.length) = v.middleRows(range.first, range.length);
    length += range.length;
  }
};

/// Attention of one query a sequence over what its cache holds, the query's own key the last, within the window. Heads
/// that share keys are one task: from the memory those come once.
inline void cached_attention(const matrix& q, const layer_cache& cache, const attention_heads& heads, matrix& y,
                             thread_pool& pool) {
  y.resize(q.rows(), q.cols());
  const float scale = heads.scale<float>();
  pool.parallel_for(q.rows() * heads.key_value, [&](index_t task) {
    const index_t sequence = task / heads.key_value;
    const index_t shared = task % heads.key_value;
    const index_t all = cache.lengths[static_cast<std::size_t>(sequence)];
    const index_t first = cache.first_row(sequence) + heads.first_seen(all - 1);
    const index_t length = all - heads.first_seen(all - 1);
    Eigen::RowVectorXf weights(length);
    for (index_t head = shared * heads.group(); head < (shared + 1) * heads.group(); ++head) {
      weights.noalias() =
          head_of(q, sequence, 1, head, heads.dim) * head_of(cache.keys, first, length, shared, heads.dim).transpose();
      weights = ((weights.array() - weights.maxCoeff()) * scale).exp();
      weights /= weights.sum();
      head_of(y, sequence, 1, head, heads.dim).noalias() =
          weights * head_of(cache.values, first, length, shared, heads.dim);
    }
  });
}

}  // namespace llama
