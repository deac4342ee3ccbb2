#pragma once

#include <algorithm>
#include <cmath>
#include <span>
#include <string>

#include <sbora/config/executor.hpp>
#include <sbora/config/workspace.hpp>
#include <sbora/kernels/dispatch.hpp>

namespace sbora::inline SBORA_ABI {

/// What may change from step to step.
struct step_options {
  double learning_rate;
  double gradient_scale = 1;   ///< gradients are multiplied by this first: clip_scale, 1/micro-batches
};

}  // namespace sbora::inline SBORA_ABI

namespace sbora::inline SBORA_ABI::detail {

/// Elements per optimiser task: 448 KiB of traffic at 28 bytes each.
inline constexpr index_t task_elements = 16384;

inline void check_option(bool in_range, const char* who, const char* what, double value) {
  if (!in_range) throw config_error(std::string(who) + ": " + what + ", got " + std::to_string(value));
}

inline void check_flat_sizes(const char* who, index_t expected, std::size_t parameters,
                             std::size_t gradient) {
  const auto count = static_cast<std::size_t>(expected);
  if (parameters == count && gradient == count) return;
  throw shape_error(std::string(who) + ": made for " + std::to_string(count) + " parameters, got " +
                    std::to_string(parameters) + " and " + std::to_string(gradient) + " gradients");
}

template <class T>
aligned_array<T> make_zeroed_array(index_t size) {
  aligned_array<T> array = make_aligned_array<T>(size);
  std::fill_n(array.get(), size, T{0});
  return array;
}

}  // namespace sbora::inline SBORA_ABI::detail
