#include "common/progress.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <utility>

#include <unistd.h>

#include "common/format.hpp"
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
  if (whole < 60) return format("%ld s", whole);
  if (whole < 3600) return format("%ld:%02ld", whole / 60, whole % 60);
  return format("%ld:%02ld:%02ld", whole / 3600, whole / 60 % 60, whole % 60);
}

progress::progress(std::string phase, index_t first_step, index_t total_steps, bool shown)
    : phase_(std::move(phase)),
      first_(first_step),
      total_(total_steps),
      shown_(shown),
      terminal_(isatty(STDERR_FILENO) != 0) {}

progress::~progress() {
  if (open_line_) std::fputc('\n', stderr);
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
  std::string text = format("%-18s %s %td/%td", phase_.c_str(), bar(done).c_str(), step, total_);
  if (has_loss_) text += format("  loss %.4f", smoothed_);
  if (tokens_ > 0) text += format("  %.0f tokens/s", static_cast<double>(tokens_) / elapsed);
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
