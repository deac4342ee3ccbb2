#pragma once

#include <array>

#include <sbora/optimisers/optimiser_base.hpp>

namespace sbora::inline SBORA_ABI {

/// Defaults are torch.optim.SGD's, with its learning rate of 1e-3.
struct sgd_options {
  double learning_rate = 1e-3;  ///< > 0, of steps that name no other
  double momentum = 0;          ///< [0, 1)
  double dampening = 0;         ///< [0, 1]; with nesterov 0
  double weight_decay = 0;      ///< >= 0, added to the gradient
  bool nesterov = false;        ///< needs momentum
};

/// SGD with momentum over one flat span of parameters, as torch.optim.SGD.
///
/// Effect      g = gradient_scale·g + decay·w; u = momentum·u + (1 - dampening)·g, at first u = g;
///             w -= lr·u, or lr·(g + momentum·u) with nesterov.
/// Shapes      parameters and gradient: parameter_count numbers each.
/// Requires    sizes as at construction, options in range, finite learning rates and gradient scales,
///             all of them as T has them: checked. Gradients aren't: clip_scale() finds what isn't finite.
/// Aliasing    parameters, gradient and state don't overlap.
/// Lifetime    owns the velocity, parameter_count numbers, where momentum > 0; refers to nothing.
/// Cost        one pass: 20 bytes an element for float (12 without momentum); no allocation in step().
/// Numerics    in T; independent of the executor.
/// Thread      one step at a time for each object.
/// Errors      config_error, shape_error, before anything is written.
/// Source      torch.optim.SGD.
template <class T>
class sgd : public detail::optimiser_base<sgd<T>, T, sgd_options> {
  using base = detail::optimiser_base<sgd, T, sgd_options>;
  friend base;

 public:
  static constexpr const char* name = "sbora::sgd";

  /// Of so many parameters, or of blocks (an adapter's blocks()).
  explicit sgd(detail::parameter_total parameters, sgd_options options = {}) : base(parameters, options) {
    if (options.momentum > 0) velocity_ = detail::make_zeroed_array<T>(this->parameter_count());
  }

  /// Empty without momentum.
  std::span<T> velocity() & noexcept { return this->span_of(velocity_.get()); }
  std::array<optimiser_state, 1> state() & noexcept { return {{{"velocity", velocity()}}}; }

 private:
  static constexpr index_t range_multiple = 1;

  static void check(const sgd_options& options) {
    detail::check_option(name, "dampening", detail::option_range::up_to_one, options.dampening);
    static_cast<void>(rates(options, {options.learning_rate}, 1));
    if (options.nesterov && (options.momentum == 0 || options.dampening != 0)) {
      throw config_error(detail::message({name, ": nesterov needs momentum and no dampening"}));
    }
  }

  auto begin(std::span<T> parameters, std::span<const T> gradient, const step_options& now, index_t step) {
    return detail::start_with<detail::sgd_rates<T>>({.parameter = parameters.data(),
                                                     .gradient = gradient.data(),
                                                     .state = {velocity_.get()},
                                                     .rates = rates(this->options(), now, step)});
  }

  static detail::sgd_rates<T> rates(const sgd_options& options, const step_options& now, index_t step) {
    using enum detail::option_range;
    // At the first step the velocity is the gradient itself, undampened.
    const double gradient_weight = step == 1 ? 1.0 : 1.0 - options.dampening;
    return {.gradient_scale = detail::as_used<T>(name, "gradient_scale", scale, now.gradient_scale),
            .learning_rate = detail::as_used<T>(name, "the learning rate", number, now.learning_rate),
            .momentum = detail::as_used<T>(name, "momentum", below_one, options.momentum),
            .gradient_weight = detail::as_used<T>(name, "1 - dampening", number, gradient_weight),
            .weight_decay = detail::as_used<T>(name, "weight_decay", not_negative, options.weight_decay),
            .nesterov = options.nesterov};
  }

  detail::aligned_array<T> velocity_;
};

}  // namespace sbora::inline SBORA_ABI
