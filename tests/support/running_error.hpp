#pragma once

#include <cmath>
#include <limits>

namespace sbora_tests {

/// Roundoff of T: the largest relative error of one operation.
template <class T>
constexpr long double roundoff = static_cast<long double>(std::numeric_limits<T>::epsilon()) / 2;

/// k roundings of T one after another: (1 + u)^k - 1 <= gamma_bound(k).
template <class T>
long double gamma_bound(long double k) {
  return k * roundoff<T> / (1 - k * roundoff<T>);
}

/// A number and how far from it a computation in T, rounding after each operation, can have got: running
/// error analysis (Higham, Accuracy and Stability, 3.3). Fused operations round less, so they stay within.
/// The value itself is computed in long double, whose roundings the factor `slack` covers.
template <class T>
struct running {
  long double value;
  long double error = 0;

  static constexpr long double slack = 1 + 0x1p-8L;
  static running rounded(long double value, long double error) {
    const long double underflow = std::numeric_limits<T>::denorm_min();
    return {value, (error + roundoff<T> * (std::fabs(value) + error)) * slack + underflow};
  }

  friend running operator+(running a, running b) { return rounded(a.value + b.value, a.error + b.error); }
  friend running operator-(running a, running b) { return rounded(a.value - b.value, a.error + b.error); }
  friend running operator*(running a, running b) {
    return rounded(a.value * b.value, std::fabs(a.value) * b.error + std::fabs(b.value) * a.error + a.error * b.error);
  }
  friend running operator/(running a, running b) {
    const long double quotient = a.value / b.value;
    return rounded(quotient, (a.error + std::fabs(quotient) * b.error) / (std::fabs(b.value) - b.error));
  }
  friend running sqrt(running a) {
    const long double root = std::sqrt(a.value);
    // |√x - √a| = |x - a| / (√x + √a), and at most √|x - a|.
    const long double far = std::sqrt(a.error);
    return rounded(root, root > far ? a.error / root : far);
  }
};

}  // namespace sbora_tests
