#pragma once

#include <cmath>
#include <span>
#include <vector>

#include "common/matrix.hpp"

namespace llama {

/// y = x / rms(x) * gain for every token, rms(x) = sqrt(mean(x^2) + epsilon); 1/rms is kept for the
/// backward.
template <class T>
void rms_norm(const matrix_of<T>& x, std::span<const T> gain, T epsilon, matrix_of<T>& y, std::vector<T>& inverse_rms,
              thread_pool& pool) {
  y.resize(x.rows(), x.cols());
  inverse_rms.resize(static_cast<std::size_t>(x.rows()));
  const Eigen::Map<const Eigen::Array<T, 1, Eigen::Dynamic>> scale(gain.data(), x.cols());
  for_row_blocks(x.rows(), pool, [&](index_t first, index_t count) {
    for (index_t token = first; token < first + count; ++token) {
      const T mean = x.row(token).squaredNorm() / static_cast<T>(x.cols());
      const T inverse = 1 / std::sqrt(mean + epsilon);
      inverse_rms[static_cast<std::size_t>(token)] = inverse;
      y.row(token).array() = x.row(token).array() * inverse * scale;
    }
  });
}

/// The same y again, from the 1/rms that was kept.
template <class T>
void rms_norm_again(const matrix_of<T>& x, std::span<const T> gain, const std::vector<T>& inverse_rms, matrix_of<T>& y,
                    thread_pool& pool) {
  y.resize(x.rows(), x.cols());
  const Eigen::Map<const Eigen::Array<T, 1, Eigen::Dynamic>> scale(gain.data(), x.cols());
  for_row_blocks(x.rows(), pool, [&](index_t first, index_t count) {
    for (index_t token = first; token < first + count; ++token) {
      y.row(token).array() = x.row(token).array() * inverse_rms[static_cast<std::size_t>(token)] * scale;
    }
  });
}

/// dx += the norm's part. With n = x / rms: dx = (gain dy - n mean(n gain dy)) / rms.
template <class T>
void rms_norm_backward(const matrix_of<T>& x, std::span<const T> gain, const std::vector<T>& inverse_rms,
                       const matrix_of<T>& dy, matrix_of<T>& dx, thread_pool& pool) {
  const Eigen::Map<const Eigen::Array<T, 1, Eigen::Dynamic>> scale(gain.data(), x.cols());
  for_row_blocks(x.rows(), pool, [&](index_t first, index_t count) {
    for (index_t token = first; token < first + count; ++token) {
      const T inverse = inverse_rms[static_cast<std::size_t>(token)];
      const auto values = x.row(token).array();
      const auto incoming = dy.row(token).array() * scale;
      const T mean = (values * incoming).sum() * inverse / static_cast<T>(x.cols());
      dx.row(token).array() += (incoming - values * (inverse * mean)) * inverse;
    }
  });
}

/// gradient of the gain += sum over tokens of n dy.
template <class T>
void rms_norm_gain_gradient(const matrix_of<T>& x, const std::vector<T>& inverse_rms, const matrix_of<T>& dy,
                            std::span<T> gradient, thread_pool& pool) {
  Eigen::Map<Eigen::Array<T, 1, Eigen::Dynamic>> sum(gradient.data(), x.cols());
  // Cut by features, so that every sum over tokens has one order.
  for_row_blocks(
      x.cols(), pool,
      [&](index_t first, index_t count) {
        for (index_t token = 0; token < x.rows(); ++token) {
          sum.segment(first, count) += x.row(token).segment(first, count).array() *
                                       dy.row(token).segment(first, count).array() *
                                       inverse_rms[static_cast<std::size_t>(token)];
        }
      },
      128);
}

}  // namespace llama
