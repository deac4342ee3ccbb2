#pragma once

#include <cmath>

#include <sbora/optimisers/optimiser_base.hpp>

namespace sbora::inline SBORA_ABI {

/// Defaults are torch.optim.AdamW's. Ranges hold for what the parameters' type makes of a number: in float an epsilon
/// of 1e-50 would be 0, a beta2 of 0.99999999 would be 1, and both are refused.
struct adamw_options {
  double learning_rate = 1e-3;  ///< > 0, of steps that name no other
  double beta1 = 0.9;           ///< [0, 1)
  double beta2 = 0.999;         ///< [0, 1)
  double epsilon = 1e-8;        ///< > 0
  double weight_decay = 1e-2;   ///< >= 0, decoupled
};

}  // namespace sbora::inline SBORA_ABI

namespace sbora::inline SBORA_ABI::detail {

/// Of step number `step`, the first being 1. Errors: config_error.
template <class T>
adamw_rates<T> adamw_rates_of(const char* who, const adamw_options& options, const step_options& now, index_t step) {
  using enum option_range;
  static_cast<void>(as_used<T>(who, "the learning rate", number, now.learning_rate));
  const double correction1 = 1 - std::pow(options.beta1, static_cast<double>(step));
  const double correction2 = 1 - std::pow(options.beta2, static_cast<double>(step));
  return {as_used<T>(who, "gradient_scale", scale, now.gradient_scale),
          as_used<T>(who, "1 - beta1", positive, 1 - options.beta1),
          as_used<T>(who, "beta2", below_one, options.beta2),
          as_used<T>(who, "1 - beta2", positive, 1 - options.beta2),
          as_used<T>(who, "epsilon", positive, options.epsilon),
          as_used<T>(who, "1 - the learning rate * weight_decay", number, 1 - now.learning_rate * options.weight_decay),
          as_used<T>(who, "the learning rate / (1 - beta1^step)", number, now.learning_rate / correction1),
          as_used<T>(who, "1 / sqrt(1 - beta2^step)", positive, 1 / std::sqrt(correction2))};
}

template <class T>
void check_adamw(const char* who, const adamw_options& options) {
  using enum option_range;
  check_option(who, "beta1", below_one, options.beta1);
  check_option(who, "beta2", below_one, options.beta2);
  check_option(who, "weight_decay", not_negative, options.weight_decay);
  static_cast<void>(adamw_rates_of<T>(who, options, {options.learning_rate}, 1));
}

}  // namespace sbora::inline SBORA_ABI::detail
