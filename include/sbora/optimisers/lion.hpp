#pragma once

#include <array>

#include <sbora/optimisers/optimiser_base.hpp>

namespace sbora::inline SBORA_ABI {

/// Defaults are the paper's. It advises learning rates three to ten times below AdamW's, and decays as much above.
struct lion_options {
  double learning_rate = 1e-4;  ///< > 0, of steps that name no other
  double beta1 = 0.9;           ///< [0, 1), of the direction
  double beta2 = 0.99;          ///< [0, 1), of the momentum
  double weight_decay = 0;      ///< >= 0, decoupled
};

/// Lion over one flat span of parameters: every parameter moves by the learning rate, by the sign of its momentum.
///
/// Effect      g *= gradient_scale; c = β1·m + (1 - β1)·g; w = w·(1 - lr·decay) - lr·sign(c); m = β2·m + (1 - β2)·g
/// Shapes      parameters and gradient: parameter_count numbers each.
/// Requires    sizes as at construction, options in range, finite learning rates and gradient scales,
///             all of them as T has them: checked. A gradient that is NaN makes its parameter NaN.
/// Aliasing    parameters, gradient and state don't overlap.
/// Lifetime    owns the momentum, parameter_count numbers; refers to nothing.
/// Cost        one pass: 20 bytes an element for float; no allocation in step(). Half of adamw's state.
/// Numerics    in T; 1 - β1, 1 - β2 and 1 - lr·decay in double, then rounded; independent of the executor.
/// Thread      one step at a time for each object.
/// Errors      config_error, shape_error, before anything is written.
/// Source      Symbolic Discovery of Optimization Algorithms, arXiv 2302.06675, algorithm 2.
template <class T>
class lion : public detail::optimiser_base<lion<T>, T, lion_options> {
  using base = detail::optimiser_base<lion, T, lion_options>;
  friend base;

 public:
  static constexpr const char* name = "sbora::lion";

  /// Of so many parameters, or of blocks (an adapter's blocks()).
  explicit lion(detail::parameter_total parameters, lion_options options = {})
      : base(parameters, options), momentum_(detail::make_zeroed_array<T>(this->parameter_count())) {}

  std::span<T> momentum() & noexcept { return this->span_of(momentum_.get()); }
  std::array<optimiser_state, 1> state() & noexcept { return {{{"momentum", momentum()}}}; }

 private:
  static constexpr index_t range_multiple = 1;

  static void check(const lion_options& options) {
    using enum detail::option_range;
    detail::check_option(name, "beta1", below_one, options.beta1);
    detail::check_option(name, "beta2", below_one, options.beta2);
    detail::check_option(name, "weight_decay", not_negative, options.weight_decay);
    static_cast<void>(rates(options, {options.learning_rate}));
  }

  auto begin(std::span<T> parameters, std::span<const T> gradient, const step_options& now, index_t) {
    return detail::start_with<detail::lion_rates<T>>({.parameter = parameters.data(),
                                                      .gradient = gradient.data(),
                                                      .state = {momentum_.get()},
                                                      .rates = rates(this->options(), now)});
  }

  static detail::lion_rates<T> rates(const lion_options& options, const step_options& now) {
    using enum detail::option_range;
    return {.gradient_scale = detail::as_used<T>(name, "gradient_scale", scale, now.gradient_scale),
            .rest1 = detail::as_used<T>(name, "1 - beta1", positive, 1 - options.beta1),
            .rest2 = detail::as_used<T>(name, "1 - beta2", positive, 1 - options.beta2),
            .decay = detail::as_used<T>(name, "1 - the learning rate * weight_decay", number,
                                        1 - now.learning_rate * options.weight_decay),
            .learning_rate = detail::as_used<T>(name, "the learning rate", number, now.learning_rate)};
  }

  detail::aligned_array<T> momentum_;
};

}  // namespace sbora::inline SBORA_ABI
