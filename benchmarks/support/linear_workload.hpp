#pragma once

/// The operands of one linear layer, and what its results must be.

#include <cmath>
#include <stdexcept>
#include <string>

#include <Eigen/Core>

#include <sbora/sbora.hpp>

#include "memory.hpp"
#include "random.hpp"

namespace bench {

using sbora::index_t;

struct linear_shape {
  index_t d_out;
  index_t d_in;
  index_t tokens;
  index_t rank = 64;
};

/// f32 throughout, row-major and contiguous.
class linear_workload {
 public:
  using map = Eigen::Map<Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>;

  explicit linear_workload(const linear_shape& sizes)
      : sizes_(sizes), w_(size(sizes.d_out, sizes.d_in)), x_(size(sizes.tokens, sizes.d_in)),
        y_(size(sizes.tokens, sizes.d_out)), dy_(size(sizes.tokens, sizes.d_out)),
        dx_(size(sizes.tokens, sizes.d_in)) {
    fill_uniform(w_.span(), 51, 0.05F);
    fill_uniform(x_.span(), 52);
    fill_uniform(dy_.span(), 53);
  }

  const linear_shape& sizes() const { return sizes_; }
  float* weight() { return w_.data(); }
  float* input() { return x_.data(); }
  float* output() { return y_.data(); }
  float* output_gradient() { return dy_.data(); }
  float* input_gradient() { return dx_.data(); }
  map x() { return {x_.data(), sizes_.tokens, sizes_.d_in}; }
  map y() { return {y_.data(), sizes_.tokens, sizes_.d_out}; }
  map dy() { return {dy_.data(), sizes_.tokens, sizes_.d_out}; }
  map dx() { return {dx_.data(), sizes_.tokens, sizes_.d_in}; }
  sbora::weight_view<float> view() { return {w_.data(), sizes_.d_out, sizes_.d_in}; }

  double products(double number) const {
    return number * 2.0 * static_cast<double>(sizes_.tokens * sizes_.d_out * sizes_.d_in);
  }
  double weight_bytes(double times) const { return times * sizeof(float) * static_cast<double>(w_.size()); }

  /// Throws unless a spread of y's elements are x W'^T, and of dx's dy W', in double. `delta(o, i)` is
  /// what W' has beyond W.
  template <class Delta>
  void verify(Delta delta, bool backward) const {
    for (index_t i = 0; i < 61; ++i) {
      const index_t t = i % sizes_.tokens;
      const index_t o = i * 7919 % sizes_.d_out;
      double expected = 0;
      for (index_t k = 0; k < sizes_.d_in; ++k) {
        expected += static_cast<double>(x_[size(t, sizes_.d_in) + size(k, 1)]) *
                    (static_cast<double>(w_[size(o, sizes_.d_in) + size(k, 1)]) + delta(o, k));
      }
      check(expected, y_[size(t, sizes_.d_out) + size(o, 1)]);
      if (!backward) continue;
      const index_t k = i * 104729 % sizes_.d_in;
      expected = 0;
      for (index_t row = 0; row < sizes_.d_out; ++row) {
        expected += static_cast<double>(dy_[size(t, sizes_.d_out) + size(row, 1)]) *
                    (static_cast<double>(w_[size(row, sizes_.d_in) + size(k, 1)]) + delta(row, k));
      }
      check(expected, dx_[size(t, sizes_.d_in) + size(k, 1)]);
    }
  }

  static std::size_t size(index_t rows, index_t cols) { return static_cast<std::size_t>(rows * cols); }

 private:
  static void check(double expected, float value) {
    if (!(std::abs(expected - static_cast<double>(value)) < 1e-3)) {
      throw std::runtime_error("the layer's result is wrong: " + std::to_string(value) + " instead of " +
                               std::to_string(expected));
    }
  }

  linear_shape sizes_;
  buffer<float> w_, x_, y_, dy_, dx_;
};

/// What a weight without an adapter has beyond W.
inline double no_delta(index_t, index_t) { return 0; }

}  // namespace bench
