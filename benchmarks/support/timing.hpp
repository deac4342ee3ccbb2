#pragma once

/// Clocks and statistics of a measurement.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include <time.h>

namespace bench {

inline double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// Time that the calling thread has run: what one thread's work took, without the time in which
/// another process had the core. Not for work that uses several threads.
inline double thread_now() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

/// Seconds of one call on this thread, a few hundred nanoseconds for reading the clock included.
template <class Function>
double seconds_of(Function&& function) {
  const double start = thread_now();
  std::forward<Function>(function)();
  return thread_now() - start;
}

inline double median(std::vector<double> values) {
  if (values.empty()) return std::numeric_limits<double>::quiet_NaN();
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  const double upper = *middle;
  if (values.size() % 2 != 0) return upper;
  return (upper + *std::max_element(values.begin(), middle)) / 2;
}

/// Median absolute deviation.
inline double mad(const std::vector<double>& values) {
  const double centre = median(values);
  std::vector<double> distances;
  distances.reserve(values.size());
  for (const double value : values) distances.push_back(std::abs(value - centre));
  return median(std::move(distances));
}

/// One arm of an alternated measurement: seconds per unit of work. `run` does `units` of it and is
/// timed, `restore` puts the state back (and the inputs out of the cache) and isn't. Repeated until
/// `least` seconds were timed, so that an arm is long against the clock and against interrupts.
template <class Run, class Restore>
double arm(double units, double least, Run&& run, Restore&& restore) {
  double seconds = 0;
  double done = 0;
  do {
    seconds += seconds_of(run);
    done += units;
    restore();
  } while (seconds < least);
  return seconds / done;
}

template <class Run>
double arm(double units, double least, Run&& run) {
  return arm(units, least, std::forward<Run>(run), [] {});
}

/// A B A B ...: the neighbours form pairs, so a machine that slows down for a second slows both.
struct alternation {
  std::vector<double> first;
  std::vector<double> second;

  /// The median over the pairs of first/second.
  double ratio() const { return median(ratios()); }
  double spread() const { return mad(ratios()); }
  std::vector<double> ratios() const {
    std::vector<double> values;
    values.reserve(first.size());
    for (std::size_t i = 0; i < first.size(); ++i) values.push_back(first[i] / second[i]);
    return values;
  }
};

constexpr int default_pairs = 15;
constexpr double arm_seconds = 0.05;

/// Calls first() and second() alternately, `pairs` times each after one warm-up of both; each returns
/// its own figure (seconds per unit).
template <class First, class Second>
alternation alternate(First&& first, Second&& second, int pairs = default_pairs) {
  alternation result;
  first();
  second();
  for (int i = 0; i < pairs; ++i) {
    result.first.push_back(first());
    result.second.push_back(second());
  }
  return result;
}

}  // namespace bench
