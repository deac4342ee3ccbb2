#pragma once

#include <sbora/optimisers/flat_span.hpp>

namespace sbora::inline SBORA_ABI {

/// Defaults are torch.optim.AdamW's.
struct adamw_options {
  double learning_rate = 1e-3;   ///< > 0, of steps that name no other
  double beta1 = 0.9;            ///< [0, 1)
  double beta2 = 0.999;          ///< [0, 1)
  double epsilon = 1e-8;         ///< > 0
  double weight_decay = 1e-2;    ///< >= 0, decoupled
};

}  // namespace sbora::inline SBORA_ABI

namespace sbora::inline SBORA_ABI::detail {

inline void check_adamw(const char* who, index_t parameter_count, const adamw_options& options) {
  if (parameter_count < 1) throw shape_error(std::string(who) + ": no parameters");
  check_option(options.learning_rate > 0, who, "learning_rate must be positive", options.learning_rate);
  check_option(options.beta1 >= 0 && options.beta1 < 1, who, "beta1 must be in [0, 1)", options.beta1);
  check_option(options.beta2 >= 0 && options.beta2 < 1, who, "beta2 must be in [0, 1)", options.beta2);
  check_option(options.epsilon > 0, who, "epsilon must be positive", options.epsilon);
  check_option(options.weight_decay >= 0, who, "weight_decay must not be negative", options.weight_decay);
}

/// Of step number `steps`, the first being 1.
template <class T>
adamw_rates<T> adamw_rates_of(const adamw_options& options, const step_options& now, index_t steps) {
  const double correction1 = 1 - std::pow(options.beta1, static_cast<double>(steps));
  const double correction2 = 1 - std::pow(options.beta2, static_cast<double>(steps));
  return {static_cast<T>(now.gradient_scale),
          static_cast<T>(options.beta1),
          static_cast<T>(options.beta2),
          static_cast<T>(options.epsilon),
          static_cast<T>(1 - now.learning_rate * options.weight_decay),
          static_cast<T>(now.learning_rate / correction1),
          static_cast<T>(1 / std::sqrt(correction2))};
}

}  // namespace sbora::inline SBORA_ABI::detail
