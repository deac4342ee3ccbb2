#pragma once

#include <cmath>
#include <cstring>
#include <numeric>
#include <type_traits>
#include <utility>

#include <sbora/core/random.hpp>

#include "support/guarded_buffer.hpp"

namespace sbora_tests {

/// Test inputs as a function of the seed.
class random_values {
 public:
  explicit random_values(std::uint64_t seed) : stream_(seed) {}

  index_t below(index_t bound) { return stream_.below(bound); }
  bool coin() { return (stream_.next() & 1U) != 0; }

  /// In [-1, 1).
  template <class T>
  T uniform() {
    return static_cast<T>(2 * stream_.uniform() - 1);
  }

  /// Any bits, NaN and infinities included.
  template <class T>
  T bits() {
    const std::uint64_t word = stream_.next();
    T value;
    std::memcpy(&value, &word, sizeof value);
    return value;
  }

  /// `rank` distinct indices in [0, dim) in any order.
  void distinct(index_t dim, const guarded_buffer<index_t>& out) {
    std::vector<index_t> all(static_cast<std::size_t>(dim));
    std::iota(all.begin(), all.end(), index_t{0});
    for (index_t j = 0; j < out.size(); ++j) {
      std::swap(all[static_cast<std::size_t>(j)], all[static_cast<std::size_t>(j + below(dim - j))]);
      out[j] = all[static_cast<std::size_t>(j)];
    }
  }

 private:
  sbora::random_stream stream_;
};

}  // namespace sbora_tests
