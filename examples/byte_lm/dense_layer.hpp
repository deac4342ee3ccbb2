#pragma once

#include "network.hpp"

namespace byte_lm {

/// A linear layer whose weight and bias are trained: only for making the base model. Plain Eigen; sbora
/// comes in when the weights are frozen.
class dense_layer {
 public:
  dense_layer(model_view values, model_view gradients, int layer)
      : weight_(values.weight(layer)),
        weight_gradient_(gradients.weight(layer)),
        bias_(values.bias(layer)),
        bias_gradient_(gradients.bias(layer)) {}

  void forward(const matrix& x, matrix& y, pass, thread_pool& pool) {
    input_ = &x;
    const Eigen::Map<const Eigen::RowVectorXf> bias(bias_.data(), weight_.rows());
    for_row_blocks(x.rows(), pool, [&](index_t first, index_t count) {
      auto rows = y.middleRows(first, count);
      rows.noalias() = x.middleRows(first, count) * weight_.transpose();
      rows.rowwise() += bias;
    });
  }

  void backward(const matrix& dy, matrix* dx, thread_pool& pool) {
    // Cut by rows of the gradient, not by tokens: no two tasks add to the same sum.
    for_row_blocks(weight_.rows(), pool, [&](index_t first, index_t count) {
      const auto part = dy.middleCols(first, count);
      weight_gradient_.middleRows(first, count).noalias() += part.transpose() * *input_;
      Eigen::Map<Eigen::RowVectorXf>(bias_gradient_.data() + first, count) += part.colwise().sum();
    });
    if (!dx) return;
    for_row_blocks(dy.rows(), pool, [&](index_t first, index_t count) {
      dx->middleRows(first, count).noalias() = dy.middleRows(first, count) * weight_;
    });
  }

 private:
  matrix_map weight_;
  matrix_map weight_gradient_;
  std::span<float> bias_;
  std::span<float> bias_gradient_;
  const matrix* input_ = nullptr;
};

}  // namespace byte_lm
