#pragma once

#include <cmath>
#include <cstdint>
#include <span>

#include "network.hpp"
#include "sbora_layer.hpp"

namespace byte_lm {

/// The baseline: LoRA with both halves trained, y = x W^T + bias + s (x A^T) B^T, in plain Eigen on top
/// of the same frozen layer. A is rank x d_in, B is d_out x rank.
template <class Base>
class lora_layer {
 public:
  lora_layer(Base& base, int layer, index_t rank, double scale, std::uint64_t seed, std::span<float> parameters,
             std::span<float> gradient)
      : base_(&base),
        layer_(layer),
        frozen_(base, layer),
        a_(parameters.data(), rank, width),
        b_(parameters.data() + a_.size(), width, rank),
        a_gradient_(gradient.data(), rank, width),
        b_gradient_(gradient.data() + a_.size(), width, rank),
        scale_(static_cast<float>(scale)) {
    // As the LoRA authors' code and PEFT start: A uniform in +-1/sqrt(d_in), B zero.
    sbora::random_stream random(seed);
    const double bound = 1 / std::sqrt(static_cast<double>(width));
    for (index_t i = 0; i < a_.size(); ++i) {
      a_.data()[i] = static_cast<float>((2 * random.uniform() - 1) * bound);
    }
    b_.setZero();
  }

  void forward(const matrix& x, matrix& y, pass what, thread_pool& pool) {
    frozen_.forward(x, y, what, pool);
    input_ = &x;
    reduced_.resize(x.rows(), a_.rows());
    for_row_blocks(x.rows(), pool, [&](index_t first, index_t count) {
      auto reduced = reduced_.middleRows(first, count);
      reduced.noalias() = x.middleRows(first, count) * a_.transpose();
      y.middleRows(first, count).noalias() += (scale_ * reduced) * b_.transpose();
    });
  }

  void backward(const matrix& dy, matrix* dx, thread_pool& pool) {
    frozen_.backward(dy, dx, pool);
    reduced_gradient_.resize(dy.rows(), a_.rows());
    for_row_blocks(dy.rows(), pool, [&](index_t first, index_t count) {
      auto reduced = reduced_gradient_.middleRows(first, count);
      reduced.noalias() = (scale_ * dy.middleRows(first, count)) * b_;
      if (dx) dx->middleRows(first, count).noalias() += reduced * a_;
    });
    // Cut by d_out and d_in, so that every sum over tokens has one order.
    for_row_blocks(width, pool, [&](index_t first, index_t count) {
      b_gradient_.middleRows(first, count).noalias() += (scale_ * dy.middleCols(first, count)).transpose() * reduced_;
      a_gradient_.middleCols(first, count).noalias() +=
          reduced_gradient_.transpose() * input_->middleCols(first, count);
    });
  }

  /// W += s B A, the whole matrix; undone by subtracting it again, which rounding makes inexact. Quantised
  /// weights are quantised anew each time.
  void merge(thread_pool&) { add(scale_); }
  void unmerge(thread_pool&) { add(-scale_); }

 private:
  void add(float scale) {
    matrix values = base_->values(layer_);
    values.noalias() += (scale * b_) * a_;
    base_->assign(layer_, values);
  }

  Base* base_;
  int layer_;
  frozen_layer<Base> frozen_;
  matrix_map a_;
  matrix_map b_;
  matrix_map a_gradient_;
  matrix_map b_gradient_;
  float scale_;
  matrix reduced_;
  matrix reduced_gradient_;
  const matrix* input_ = nullptr;
};

}  // namespace byte_lm
