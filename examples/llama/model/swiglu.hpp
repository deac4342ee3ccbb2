#pragma once

#include "common/matrix.hpp"

namespace llama {

/// y = silu(gate) * up, silu(x) = x / (1 + exp(-x)).
template <class T>
void swiglu(const matrix_of<T>& gate, const matrix_of<T>& up, matrix_of<T>& y, thread_pool& pool) {
  y.resize(gate.rows(), gate.cols());
  for_row_blocks(gate.rows(), pool, [&](index_t first, index_t count) {
    for (index_t token = first; token < first + count; ++token) {
      const auto g = gate.row(token).array();
      y.row(token).array() = g / (T{1} + (-g).exp()) * up.row(token).array();
    }
  });
}

/// In place: dy becomes the gradient of the gate, and `dup` gets that of `up`.
template <class T>
void swiglu_backward(const matrix_of<T>& gate, const matrix_of<T>& up, matrix_of<T>& dy, matrix_of<T>& dup,
                     thread_pool& pool) {
  dup.resize(gate.rows(), gate.cols());
  for_row_blocks(gate.rows(), pool, [&](index_t first, index_t count) {
    Eigen::Array<T, 1, Eigen::Dynamic> sigmoid(gate.cols());
    for (index_t token = first; token < first + count; ++token) {
      const auto g = gate.row(token).array();
      sigmoid = T{1} / (T{1} + (-g).exp());
      dup.row(token).array() = dy.row(token).array() * g * sigmoid;
      dy.row(token).array() *= up.row(token).array() * sigmoid * (T{1} + g * (T{1} - sigmoid));
    }
  });
}

}  // namespace llama
