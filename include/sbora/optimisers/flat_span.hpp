#pragma once

#include <algorithm>
#include <span>
#include <string>

#include <sbora/core/aligned_memory.hpp>
#include <sbora/core/executor.hpp>
#include <sbora/core/option.hpp>
#include <sbora/kernels/dispatch.hpp>

namespace sbora::inline SBORA_ABI {

/// What may change from step to step.
struct step_options {
  double learning_rate;       ///< finite in the parameters' type
  double gradient_scale = 1;  ///< the same, 0 or a normal number; gradients are multiplied by it first: clip_scale,
                              ///< 1/micro-batches
};

}  // namespace sbora::inline SBORA_ABI

namespace sbora::inline SBORA_ABI::detail {

/// Elements per optimiser task: 448 KiB of traffic at 28 bytes each.
inline constexpr index_t task_elements = 16384;

/// Steps that an optimiser has taken.
class step_count {
 public:
  index_t value() const noexcept { return value_; }
  /// Errors: config_error where negative.
  void set(const char* who, index_t steps) {
    check_option(who, "steps", option_range::not_negative, static_cast<double>(steps));
    value_ = steps;
  }
  /// The greatest number stays: what depends on the count is constant long before.
  index_t next() const noexcept { return value_ < std::numeric_limits<index_t>::max() ? value_ + 1 : value_; }
  void advance() noexcept { value_ = next(); }

 private:
  index_t value_ = 0;
};

inline void check_step(const char* who, index_t expected, std::size_t parameters, std::size_t gradient) {
  const auto count = static_cast<std::size_t>(expected);
  if (parameters != count || gradient != count) {
    throw shape_error(std::string(who) + ": made for " + std::to_string(count) + " parameters, got " +
                      std::to_string(parameters) + " and " + std::to_string(gradient) + " gradients");
  }
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
