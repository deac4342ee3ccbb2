#pragma once

#include <cmath>
#include <span>

#include "common/matrix.hpp"

namespace llama {

/// One token's logits, replaced by exp(logits - the largest), whose sum this returns, and its loss,
/// -log softmax[label] in nats. One function for both uses below, so that they are the same bits in every build.
template <class T>
T exponentials(std::span<T> logits, std::int32_t label, double& loss) {
  Eigen::Map<Eigen::Array<T, 1, Eigen::Dynamic>> values(logits.data(), std::ssize(logits));
  const T largest = values.maxCoeff();
  const T own = values(label) - largest;
  values = (values - largest).exp();
  const T sum = values.sum();
  loss = std::log(static_cast<double>(sum)) - static_cast<double>(own);
  return sum;
}

/// Replaces every row of logits by the gradient of its loss, scale * (softmax - one-hot of the label),
/// while the row is in the cache; losses gets -log softmax[label].
template <class T>
void softmax_cross_entropy(Eigen::Ref<matrix_of<T>> logits, std::span<const std::int32_t> labels, T scale,
                           std::span<double> losses, thread_pool& pool) {
  for_row_blocks(
      logits.rows(), pool,
      [&](index_t first, index_t count) {
        for (index_t row = first; row < first + count; ++row) {
          const auto at = static_cast<std::size_t>(row);
          auto values = logits.row(row).array();
          const T sum =
              exponentials<T>({&logits(row, 0), static_cast<std::size_t>(logits.cols())}, labels[at], losses[at]);
          values *= scale / sum;
          values(labels[at]) -= scale;
        }
      },
      8);
}

/// The losses alone; the logits are used up.
template <class T>
void cross_entropy(Eigen::Ref<matrix_of<T>> logits, std::span<const std::int32_t> labels, std::span<double> losses,
                   thread_pool& pool) {
  for_row_blocks(
      logits.rows(), pool,
      [&](index_t first, index_t count) {
        for (index_t row = first; row < first + count; ++row) {
          const auto at = static_cast<std::size_t>(row);
          exponentials<T>({&logits(row, 0), static_cast<std::size_t>(logits.cols())}, labels[at], losses[at]);
        }
      },
      8);
}

}  // namespace llama
