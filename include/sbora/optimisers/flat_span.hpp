#pragma once

#include <algorithm>
#include <cmath>
#include <span>
#include <string>

#include <sbora/config/aligned_memory.hpp>
#include <sbora/config/executor.hpp>
#include <sbora/config/finite.hpp>
#include <sbora/kernels/dispatch.hpp>

namespace sbora::inline SBORA_ABI {

/// What may change from step to step.
struct step_options {
  double learning_rate;        ///< finite
  double gradient_scale = 1;   ///< finite; gradients are multiplied by it first: clip_scale, 1/micro-batches
};

}  // namespace sbora::inline SBORA_ABI

namespace sbora::inline SBORA_ABI::detail {

/// Elements per optimiser task: 448 KiB of traffic at 28 bytes each.
inline constexpr index_t task_elements = 16384;

inline void check_option(bool in_range, const char* who, const char* what, double value) {
  if (in_range && is_finite(value)) return;
  throw config_error(std::string(who) + ": " + what + ", got " + std::to_string(value));
}

inline void check_step(const char* who, index_t expected, std::size_t parameters, std::size_t gradient,
                       const step_options& now) {
  const auto count = static_cast<std::size_t>(expected);
  if (parameters != count || gradient != count) {
    throw shape_error(std::string(who) + ": made for " + std::to_string(count) + " parameters, got " +
                      std::to_string(parameters) + " and " + std::to_string(gradient) + " gradients");
  }
  check_option(is_finite(now.learning_rate), who, "the learning rate must be finite",
               now.learning_rate);
  check_option(is_finite(now.gradient_scale), who, "gradient_scale must be finite",
               now.gradient_scale);
}

/// A step that was begun: each range of the flat span has to be done once, in any order and on any thread.
template <class Arguments>
struct started_step {
  Arguments args;
  void (*kernel)(const Arguments&) noexcept;

  void operator()(index_t begin, index_t end) const noexcept {
    Arguments range = args;
    range.begin = begin;
    range.end = end;
    kernel(range);
  }
};

template <class T>
aligned_array<T> make_zeroed_array(index_t size) {
  aligned_array<T> array = make_aligned_array<T>(size);
  std::fill_n(array.get(), size, T{0});
  return array;
}

}  // namespace sbora::inline SBORA_ABI::detail
