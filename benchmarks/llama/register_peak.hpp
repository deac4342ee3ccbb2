#pragma once

#include <vector>

#include <sbora/executors/thread_pool.hpp>

#include "../peers/peers.hpp"
#include "../support/timing.hpp"

namespace bench {

/// Seconds a flop of multiply-adds on registers, all threads at once.
class register_peak {
 public:
  explicit register_peak(sbora::thread_pool& pool, double (*multiply_adds)() = peak_f32)
      : multiply_adds_(multiply_adds), pool_(pool) {}
  double operator()() {
    std::vector<double> flops(static_cast<std::size_t>(pool_.threads()));
    const double start = now();
    pool_.parallel_for(pool_.threads(), [&](index_t i) {
      do flops[static_cast<std::size_t>(i)] += multiply_adds_();
      while (now() - start < 0.5);
    });
    const double seconds = now() - start;
    double sum = 0;
    for (const double each : flops) sum += each;
    return seconds / sum;
  }

 private:
  double (*multiply_adds_)();
  sbora::thread_pool& pool_;
};

}  // namespace bench
