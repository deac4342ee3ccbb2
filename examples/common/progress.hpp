#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include <sbora/core/index.hpp>

#include "common/programs.hpp"

namespace examples {

using sbora::index_t;

using wall_clock = std::chrono::steady_clock;

inline double seconds_since(wall_clock::time_point start) {
  return std::chrono::duration<double>(wall_clock::now() - start).count();
}

/// Where a long phase stands, on standard error: loss, tokens or bytes a second, time left, resident memory. One line
/// that is rewritten on a terminal; elsewhere (a log file, a pipe) a line every ten seconds.
class progress {
 public:
  /// first_step: where the phase begins, above 0 after a resume. shown: false for all but one of several
  /// processes.
  progress(std::string phase, index_t first_step, index_t total_steps, bool shown = true);
  /// Of a job that is counted in bytes. Nothing is shown in its first second, nor left behind on a terminal.
  explicit progress(std::string phase);
  ~progress();
  progress(const progress&) = delete;
  progress& operator=(const progress&) = delete;

  /// After `step` steps in all, the last with this loss (NaN: it had none) and this many tokens.
  void update(index_t step, double loss, std::int64_t tokens);
  /// The same for work without a loss.
  void update(index_t step);
  void update_bytes(std::uint64_t done, std::uint64_t total);
  /// A message of its own line, which the bar makes room for.
  void note(const std::string& message);

 private:
  void show(index_t step);
  std::string line(index_t step) const;

  std::string phase_;
  index_t first_ = 0;
  index_t total_ = 0;
  bool shown_ = true;
  bool bytes_ = false;
  bool terminal_;
  bool has_loss_ = false;
  bool open_line_ = false;
  double smoothed_ = 0;
  std::int64_t tokens_ = 0;
  wall_clock::time_point start_ = wall_clock::now();
  wall_clock::time_point last_ = {};
};

/// "42 s", "3:07", "2:03:07".
std::string duration_text(double seconds);

}  // namespace examples
