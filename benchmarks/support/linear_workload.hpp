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

/// Weight and activations of one type, row-major and contiguous.
template <class Scalar>
class basic_linear_workload {
 public:
  using map = Eigen::Map<Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>;
  using layer_type = sbora::linear<sbora::weight_view<Scalar>>;

  explicit basic_linear_workload(const linear_shape& sizes)
      : sizes_(sizes),
        w_(size(sizes.d_out, sizes.d_in)),
        x_(size(sizes.tokens, sizes.d_in)),
        y_(size(sizes.tokens, sizes.d_out)),
        dy_(size(sizes.tokens, sizes.d_out)),
        dx_(size(sizes.tokens, sizes.d_in)) {
    fill_uniform(w_.span(), 51, 0.05F);
    fill_uniform(x_.span(), 52);
    fill_uniform(dy_.span(), 53);
  }

  const linear_shape& sizes() const { return sizes_; }
  Scalar* weight() { return w_.data(); }
  Scalar* input() { return x_.data(); }
  Scalar* output() { return y_.data(); }
  Scalar* output_gradient() { return dy_.data(); }
  Scalar* input_gradient() { return dx_.data(); }
  map x() { return {x_.data(), sizes_.tokens, sizes_.d_in}; }
  map y() { return {y_.data(), sizes_.tokens, sizes_.d_out}; }
  map dy() { return {dy_.data(), sizes_.tokens, sizes_.d_out}; }
  map dx() { return {dx_.data(), sizes_.tokens, sizes_.d_in}; }
  sbora::weight_view<Scalar> view() { return {w_.data(), sizes_.d_out, sizes_.d_in}; }

  double products(double number) const {
    return number * 2.0 * static_cast<double>(sizes_.tokens * sizes_.d_out * sizes_.d_in);
  }
  double weight_bytes(double times) const { return times * sizeof(Scalar) * static_cast<double>(w_.size()); }

  /// Throws unless a spread of y's elements are x W'^T, in double. `delta(o, i)` is what W' has beyond W.
  template <class Delta>
  void verify_forward(Delta delta) const {
    for (index_t i = 0; i < spread; ++i) {
      const index_t t = i % sizes_.tokens, o = i * 7919 % sizes_.d_out;
      double expected = 0;
      for (index_t k = 0; k < sizes_.d_in; ++k) {
        expected += at(x_, t, sizes_.d_in, k) * (at(w_, o, sizes_.d_in, k) + delta(o, k));
      }
      check(expected, at(y_, t, sizes_.d_out, o));
    }
  }
  /// The same for dx = dy W'.
  template <class Delta>
  void verify_backward(Delta delta) const {
    for (index_t i = 0; i < spread; ++i) {
      const index_t t = i % sizes_.tokens, k = i * 104729 % sizes_.d_in;
      double expected = 0;
      for (index_t o = 0; o < sizes_.d_out; ++o) {
        expected += at(dy_, t, sizes_.d_out, o) * (at(w_, o, sizes_.d_in, k) + delta(o, k));
      }
      check(expected, at(dx_, t, sizes_.d_in, k));
    }
  }
  template <class Delta>
  void verify(Delta delta, bool backward) const {
    verify_forward(delta);
    if (backward) verify_backward(delta);
  }

  static std::size_t size(index_t rows, index_t cols) { return static_cast<std::size_t>(rows * cols); }

 private:
  static constexpr index_t spread = 61;

  static double at(const buffer<Scalar>& m, index_t row, index_t cols, index_t col) {
    return static_cast<double>(static_cast<float>(m[size(row, cols) + size(col, 1)]));
  }

  /// Within sums of thousands of terms of at most 0.05, and the rounding of a 16-bit result.
  static void check(double expected, double value) {
    const double rounding = sizeof(Scalar) == 2 ? 0x1p-8 : 0;
    if (!(std::abs(expected - value) < 1e-3 + rounding * std::abs(expected))) {
      throw std::runtime_error("the layer's result is wrong: " + std::to_string(value) + " instead of " +
                               std::to_string(expected));
    }
  }

  linear_shape sizes_;
  buffer<Scalar> w_, x_, y_, dy_, dx_;
};

using linear_workload = basic_linear_workload<float>;

/// What a weight without an adapter has beyond W.
inline double no_delta(index_t, index_t) { return 0; }

}  // namespace bench
