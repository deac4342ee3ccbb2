#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>
#include <utility>

#include <unistd.h>

namespace sbora_tool {

/// How many bytes of a long job are done, on standard error: after the first second a line that is rewritten on a
/// terminal, a line every five seconds elsewhere.
class progress {
 public:
  explicit progress(std::string what) : what_(std::move(what)) {}
  progress(const progress&) = delete;
  progress& operator=(const progress&) = delete;
  ~progress() {
    if (shown_ && terminal_) std::fputs("\r\033[K", stderr);
  }

  void update(std::uint64_t done_bytes, std::uint64_t total_bytes) {
    const auto now = clock::now();
    const std::chrono::duration<double> elapsed = now - start_, quiet = now - last_;
    if (quiet.count() < (terminal_ && shown_ ? 0.2 : terminal_ ? 1.0 : 5.0)) return;
    last_ = now;
    shown_ = true;
    const double done = static_cast<double>(done_bytes), total = static_cast<double>(total_bytes);
    std::fprintf(stderr, "%s%s: %.0f of %.0f MB, %.0f MB/s, ETA %.0f s%s", terminal_ ? "\r" : "", what_.c_str(),
                 done / 1e6, total / 1e6, done / 1e6 / elapsed.count(),
                 elapsed.count() * (total - done) / (done > 0 ? done : 1), terminal_ ? "\033[K" : "\n");
    std::fflush(stderr);
  }

 private:
  using clock = std::chrono::steady_clock;
  std::string what_;
  bool terminal_ = isatty(STDERR_FILENO) != 0;
  bool shown_ = false;
  clock::time_point start_ = clock::now();
  clock::time_point last_ = start_;
};

}  // namespace sbora_tool
