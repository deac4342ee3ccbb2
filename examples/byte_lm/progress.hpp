#pragma once

#include <chrono>
#include <cstdio>
#include <string>
#include <utility>

#include <unistd.h>

#include <sbora/core/index.hpp>

namespace byte_lm {

using sbora::index_t;

using clock = std::chrono::steady_clock;

inline double seconds_since(clock::time_point start) {
  return std::chrono::duration<double>(clock::now() - start).count();
}

/// Where a training phase stands, on standard error: one line that is rewritten on a terminal, a line
/// every five seconds elsewhere.
class progress {
 public:
  progress(std::string phase, index_t total_steps, index_t tokens_a_step)
      : phase_(std::move(phase)), total_(total_steps), tokens_a_step_(tokens_a_step) {}

  /// After `step` steps, the last with this loss (nats per byte).
  void update(index_t step, double loss) {
    smoothed_ = step == 1 ? loss : 0.95 * smoothed_ + 0.05 * loss;
    const bool last = step == total_;
    if (!last && seconds_since(shown_) < (terminal_ ? 0.2 : 5.0)) return;
    shown_ = clock::now();
    const double elapsed = seconds_since(start_);
    const double tokens_a_second = static_cast<double>(step * tokens_a_step_) / elapsed;
    const double left = elapsed / static_cast<double>(step) * static_cast<double>(total_ - step);
    std::fprintf(stderr, "%s%-22s step %5td/%td  loss %.3f  %6.0f tokens/s  ETA %3.0f s%s", terminal_ ? "\r" : "",
                 phase_.c_str(), step, total_, smoothed_, tokens_a_second, left, terminal_ && !last ? " " : "\n");
    std::fflush(stderr);
  }

 private:
  std::string phase_;
  index_t total_;
  index_t tokens_a_step_;
  bool terminal_ = isatty(STDERR_FILENO) != 0;
  clock::time_point start_ = clock::now();
  clock::time_point shown_ = start_;
  double smoothed_ = 0;
};

}  // namespace byte_lm
