#pragma once

/// The yardstick of the "of_bw" figures: libc's memcpy over a buffer far beyond the caches.
/// Bytes: read plus written, so 2 per byte copied (libc stores past the cache at this size, so nothing
/// else moves).

#include <cstddef>
#include <cstring>

#include "memory.hpp"
#include "timing.hpp"

namespace bench {

class copy_arm {
 public:
  static constexpr std::size_t size = std::size_t{256} << 20;

  copy_arm() : from_(size), to_(size) {
    std::memset(from_.data(), 1, size);
    std::memset(to_.data(), 2, size);
  }

  static constexpr double bytes() { return 2.0 * static_cast<double>(size); }
  void run() { std::memcpy(to_.data(), from_.data(), size); }

  /// Seconds per byte moved.
  double operator()() {
    return arm(bytes(), arm_seconds, [this] { run(); });
  }

 private:
  buffer<char> from_;
  buffer<char> to_;
};

}  // namespace bench
