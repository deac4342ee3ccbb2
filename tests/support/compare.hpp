#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <sstream>
#include <string>
#include <vector>

#include "support/guarded_buffer.hpp"

namespace sbora_tests {

/// "" if both hold the same bits; else how many elements don't, and the first of them in hexadecimal.
template <class T>
std::string differing_bits(const T* actual, const std::vector<T>& expected) {
  std::size_t count = 0, first = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    if (std::memcmp(actual + i, &expected[i], sizeof(T)) == 0) continue;
    if (count++ == 0) first = i;
  }
  if (count == 0) return {};
  const auto bits = [](const T& value) {
    std::uint64_t wide = 0;
    std::memcpy(&wide, &value, sizeof(T));
    return wide;
  };
  std::ostringstream text;
  text << count << " of " << expected.size() << " elements, first [" << first << "]: " << std::hex
       << bits(actual[first]) << " instead of " << bits(expected[first]);
  return text.str();
}

/// As above, and the slack around the buffer is untouched.
template <class T>
std::string differing_bits(const guarded_buffer<T>& actual, const std::vector<T>& expected) {
  const std::string found = differing_bits(actual.data(), expected);
  return actual.intact() ? found : found + " written outside of the buffer";
}

/// Collects elements that must lie within a bound of a reference; a NaN never does.
class within_bounds {
 public:
  void add(index_t row, index_t col, long double actual, long double expected, long double bound) {
    const long double error = std::fabs(actual - expected);
    if (error <= bound) return;
    const long double excess = error / bound;  // NaN, or infinite under a bound of zero
    if (count_++ > 0 && !(excess > excess_)) return;
    excess_ = excess;
    std::ostringstream text;
    text.precision(17);
    text << "worst (" << row << ", " << col << "): " << static_cast<double>(actual) << " instead of "
         << static_cast<double>(expected) << ", error " << static_cast<double>(error) << ", bound "
         << static_cast<double>(bound);
    worst_ = text.str();
  }

  /// "" if all did; else how many didn't, and the worst of them.
  std::string failures() const { return count_ == 0 ? std::string() : std::to_string(count_) + " elements, " + worst_; }

 private:
  std::size_t count_ = 0;
  long double excess_ = 0;
  std::string worst_;
};

}  // namespace sbora_tests
