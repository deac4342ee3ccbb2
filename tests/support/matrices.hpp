#pragma once

#include <cstring>
#include <limits>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include <Eigen/Core>

#include <sbora/core/random.hpp>

namespace sbora_tests {

using sbora::index_t;

/// Matrices of tests: random, guarded by NaN, compared bit for bit.

/// Uniform in [-1, 1), rounded to T; the same on every machine.
template <class T>
void fill_random(std::span<T> values, std::uint64_t seed) {
  sbora::random_stream random(seed);
  for (T& value : values) {
    const double draw = 2 * random.uniform() - 1;
    if constexpr (std::is_same_v<T, double>) {
      value = draw;
    } else {
      value = static_cast<T>(static_cast<float>(draw));
    }
  }
}

template <class T>
std::vector<T> random_vector(index_t size, std::uint64_t seed) {
  std::vector<T> values(static_cast<std::size_t>(size));
  fill_random(std::span<T>(values), seed);
  return values;
}

template <class T>
bool same_bits(std::span<const T> a, std::span<const T> b) {
  if (a.size() != b.size()) return false;
  return a.empty() || std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

/// rows × cols in row-major order, `padding` NaNs after every row and 16 before and after all.
template <class T>
class padded_matrix {
 public:
  padded_matrix(index_t rows, index_t cols, index_t padding = 0)
      : rows_(rows),
        cols_(cols),
        stride_(cols + padding),
        memory_(static_cast<std::size_t>(rows * stride_ + 2 * guard), nan()) {}

  static T nan() { return Eigen::NumTraits<T>::quiet_NaN(); }

  index_t rows() const { return rows_; }
  index_t cols() const { return cols_; }
  index_t stride() const { return stride_; }
  T* data() { return memory_.data() + guard; }
  const T* data() const { return memory_.data() + guard; }
  T& operator()(index_t row, index_t col) { return data()[row * stride_ + col]; }
  const T& operator()(index_t row, index_t col) const { return data()[row * stride_ + col]; }

  padded_matrix& randomise(std::uint64_t seed) {
    for (index_t row = 0; row < rows_; ++row) {
      fill_random(std::span<T>(data() + row * stride_, static_cast<std::size_t>(cols_)),
                  seed + static_cast<std::uint64_t>(row) * 0x10000);
    }
    return *this;
  }

  /// Everything, padding and guards too.
  std::span<const T> memory() const { return memory_; }

  /// Whether only elements were written.
  bool padding_intact() const {
    padded_matrix clean(rows_, cols_, stride_ - cols_);
    for (index_t row = 0; row < rows_; ++row) {
      for (index_t col = 0; col < cols_; ++col) clean(row, col) = (*this)(row, col);
    }
    return same_bits(memory(), clean.memory());
  }

 private:
  static constexpr index_t guard = 16;
  index_t rows_;
  index_t cols_;
  index_t stride_;
  std::vector<T> memory_;
};

/// What results are compared with: plain loops in long double, and the same over absolute values for the
/// error bound.
using exact_matrix = Eigen::Matrix<long double, Eigen::Dynamic, Eigen::Dynamic>;

/// On pointers: Eigen's element access takes most of a test's time at -O0 with sanitizers.
inline exact_matrix exact_product(const exact_matrix& a, const exact_matrix& b) {
  exact_matrix result = exact_matrix::Zero(a.rows(), b.cols());
  for (index_t j = 0; j < b.cols(); ++j) {
    long double* const column = result.data() + j * a.rows();
    for (index_t k = 0; k < a.cols(); ++k) {
      const long double factor = b(k, j);
      if (factor == 0) continue;
      const long double* const added = a.data() + k * a.rows();
      for (index_t i = 0; i < a.rows(); ++i) column[i] += added[i] * factor;
    }
  }
  return result;
}

/// Higham's γ: the relative error of `roundings` operations in T, one after another.
template <class T>
long double gamma_of(index_t roundings) {
  const long double mu = static_cast<long double>(roundings) * std::numeric_limits<T>::epsilon() / 2;
  return mu / (1 - mu);
}

/// Empty where every |result - exact| <= γ·magnitude; otherwise the first element that isn't, or is NaN.
template <class Result>
std::string first_difference(const Result& result, const exact_matrix& exact, const exact_matrix& magnitude,
                             long double gamma) {
  for (index_t i = 0; i < exact.rows(); ++i) {
    for (index_t j = 0; j < exact.cols(); ++j) {
      const auto value = static_cast<long double>(result(i, j));
      if (std::abs(value - exact(i, j)) <= gamma * magnitude(i, j)) continue;
      return "(" + std::to_string(i) + ", " + std::to_string(j) + ") is " + std::to_string(value) + ", exactly " +
             std::to_string(exact(i, j)) + " with an error of at most " +
             std::to_string(static_cast<double>(gamma * magnitude(i, j)));
    }
  }
  return {};
}

}  // namespace sbora_tests
