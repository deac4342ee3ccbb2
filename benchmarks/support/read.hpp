#pragma once

/// The yardstick of what only reads: sums over a buffer far beyond the caches.

#include <cstdint>

#include "../peers/peers.hpp"
#include "memory.hpp"
#include "timing.hpp"

namespace bench {

class read_arm {
 public:
  static constexpr std::size_t size = std::size_t{256} << 20;

  read_arm() : words_(size / sizeof(std::uint64_t)) {}

  static constexpr double bytes() { return static_cast<double>(size); }
  void run() { sink_ = read_words(words_.data(), words_.size()); }

  /// Seconds per byte.
  double operator()() {
    return arm(bytes(), arm_seconds, [this] { run(); });
  }

 private:
  buffer<std::uint64_t> words_;
  volatile std::uint64_t sink_ = 0;
};

}  // namespace bench
