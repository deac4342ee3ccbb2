#pragma once

#include <cmath>
#include <span>

#include "matrix.hpp"

namespace llama {

/// Replaces every row of logits by the gradient of its loss, scale * (softmax - one-hot of the label),
/// while the row is in the cache; losses gets -log softmax[label] in nats.
template <class T>
void softmax_cross_entropy(Eigen::Ref<matrix_of<T>> logits, std::span<const std::int32_t> labels, T scale,
                           std::span<double> losses, thread_pool& pool) {
  for_row_blocks(logits.rows(), pool, [&](index_t first, index_t count) {
    for (index_t row = first; row < first + count; ++row) {
      auto values = logits.row(row).array();
      const index_t label = labels[static_cast<std::size_t>(row)];
      const T largest = values.maxCoeff();
      const T own = values(label) - largest;
      values = (values - largest).exp();
      const T sum = values.sum();
      losses[static_cast<std::size_t>(row)] = std::log(static_cast<double>(sum)) - static_cast<double>(own);
      values *= scale / sum;
      values(label) -= scale;
    }
  }, 8);
}

/// The losses alone.
template <class T>
void cross_entropy(const Eigen::Ref<const matrix_of<T>>& logits, std::span<const std::int32_t> labels,
                   std::span<double> losses, thread_pool& pool) {
  for_row_blocks(logits.rows(), pool, [&](index_t first, index_t count) {
    for (index_t row = first; row < first + count; ++row) {
      const auto values = logits.row(row).array();
      const index_t label = labels[static_cast<std::size_t>(row)];
      const T largest = values.maxCoeff();
      const T sum = (values - largest).exp().sum();
      losses[static_cast<std::size_t>(row)] =
          std::log(static_cast<double>(sum)) - static_cast<double>(values(label) - largest);
    }
  }, 8);
}

}  // namespace llama
