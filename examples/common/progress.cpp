#include "common/progress.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <utility>

#include <fmt/core.h>
#include <unistd.h>

#include "common/memory.hpp"

namespace examples {

namespace {

constexpr double terminal_interval = 0.2;
constexpr double log_interval = 10;
constexpr index_t bar_width = 20;

std::string bar(double done) {
  const auto full = static_cast<std::size_t>(done * static_cast<double>(bar_width));
  return "[" + std::string(full, '#') + std::string(static_cast<std::size_t>(bar_width) - full, '.') + "]";
}

}  // namespace

std::string duration_text(double seconds) {
  const long whole = static_cast<long>(std::max(0.0, seconds) + 0.5);
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{}:{:02}", whole / 60, whole % 60);
  return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
}

progress::progress(std::string phase, index_t first_step, index_t total_steps, bool shown)
    : phase_(std::move(phase)),
      first_(first_step),
      total_(total_steps),
      shown_(shown),
      terminal_(isatty(STDERR_FILENO) != 0) {}

progress::progress(std::string phase) : phase_(std::move(phase)), bytes_(true), terminal_(isatty(STDERR_FILENO) != 0) {}

progress::~progress() {
  if (open_line_) std::fputs(bytes_ ? "\r\033[K" : "\n", stderr);
}

void progress::update(index_t step, double loss, std::int64_t tokens) {
  if (!std::isnan(loss)) {
    smoothed_ = has_loss_ ? 0.95 * smoothed_ + 0.05 * loss : loss;
    has_loss_ = true;
  }
  tokens_ += tokens;
  show(step);
}

void progress::update(index_t step) { show(step); }

void progress::update_bytes(std::uint64_t done, std::uint64_t total) {
  total_ = static_cast<index_t>(total);
  if (seconds_since(start_) >= 1) show(static_cast<index_t>(done));
}

void progress::show(index_t step) {
  if (!shown_) return;
  if (step != total_ && seconds_since(last_) < (terminal_ ? terminal_interval : log_interval)) return;
  last_ = wall_clock::now();
  const std::string text = line(step);
  if (terminal_) {
    std::fprintf(stderr, "\r%s\033[K", text.c_str());
    open_line_ = true;
  } else {
    std::fprintf(stderr, "%s\n", text.c_str());
  }
  std::fflush(stderr);
}

std::string progress::line(index_t step) const {
  const double elapsed = seconds_since(start_);
  const double done = total_ > 0 ? static_cast<double>(step) / static_cast<double>(total_) : 1;
  std::string text = fmt::format("{:<18} {} ", phase_, bar(done));
  if (bytes_) {
    const double megabyte = 1e6, size = static_cast<double>(step);
    text += fmt::format("{:.0f} of {:.0f} MB  {:.0f} MB/s", size / megabyte, static_cast<double>(total_) / megabyte,
                        size / megabyte / elapsed);
  } else {
    text += fmt::format("{}/{}", step, total_);
  }
  if (has_loss_) text += fmt::format("  loss {:.4f}", smoothed_);
  if (tokens_ > 0) text += fmt::format("  {:.0f} tokens/s", static_cast<double>(tokens_) / elapsed);
  if (step > first_) {
    const double left = elapsed / static_cast<double>(step - first_) * static_cast<double>(total_ - step);
    text += step == total_ ? "  took " + duration_text(elapsed) : "  ETA " + duration_text(left);
  }
  if (const std::size_t resident = resident_bytes(); resident > 0) text += "  " + size_text(resident);
  return text;
}

void progress::note(const std::string& message) {
  if (!shown_) return;
  std::fprintf(stderr, "%s%s\n", open_line_ ? "\r\033[K" : "", message.c_str());
  std::fflush(stderr);
  open_line_ = false;
}

}  // namespace examples
