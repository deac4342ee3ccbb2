#pragma once

#include <sbora/optimisers/flat_span.hpp>

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
class sgd {
 public:
  explicit sgd(index_t parameter_count, sgd_options options = {}) : options_(options), count_(parameter_count) {
    if (count_.value < 1) throw shape_error("sbora::sgd: no parameters");
    static_cast<void>(detail::as_used<T>(name, "learning_rate", detail::option_range::positive, options.learning_rate));
    detail::check_option(name, "dampening", detail::option_range::up_to_one, options.dampening);
    static_cast<void>(arguments({}, {}, {options.learning_rate}));
    if (options.nesterov && (options.momentum == 0 || options.dampening != 0)) {
      throw config_error("sbora::sgd: nesterov needs momentum and no dampening");
    }
    if (options.momentum > 0) velocity_ = detail::make_zeroed_array<T>(count_.value);
  }

  template <class Executor = serial_executor>
  void step(std::span<T> parameters, std::span<const T> gradient, step_options now, Executor&& pool = Executor{}) {
    detail::check_executor<Executor>();
    const auto range = start_step(parameters, gradient, now);
    detail::for_ranges(count_.value, detail::task_elements, pool, range);
  }

  /// With that learning rate, or the options'.
  template <class Rate, class Executor = serial_executor>
    requires std::is_arithmetic_v<Rate>
  void step(std::span<T> parameters, std::span<const T> gradient, Rate learning_rate, Executor&& pool = Executor{}) {
    step(parameters, gradient, step_options{static_cast<double>(learning_rate)}, pool);
  }
  void step(std::span<T> parameters, std::span<const T> gradient) {
    step(parameters, gradient, step_options{options_.learning_rate});
  }

  /// Begins a step that the caller carries out, by calling what this returns for ranges that make up
  /// [0, parameter_count). For fusing it with other passes over the parameters; see merged_step.
  detail::started_step<detail::sgd_args<T>> start_step(std::span<T> parameters, std::span<const T> gradient,
                                                       step_options now) & {
    detail::check_step(name, count_.value, parameters.size(), gradient.size());
    const auto kernel = detail::get_kernels<detail::optimiser_kernels<T>>().sgd;  // may throw
    const auto args = arguments(parameters, gradient, now);
    steps_.advance();
    return {args, kernel};
  }

  const sgd_options& options() const& noexcept { return options_; }
  sgd_options options() && noexcept { return options_; }
  index_t steps() const noexcept { return steps_.value(); }
  /// For resuming: put the velocity and the step count back. Errors: config_error where it is negative.
  void set_steps(index_t steps) { steps_.set(name, steps); }
  /// Empty without momentum.
  std::span<T> velocity() & noexcept {
    return {velocity_.get(), velocity_ != nullptr ? static_cast<std::size_t>(count_.value) : 0};
  }
  std::size_t state_bytes() const noexcept {
    return velocity_ != nullptr ? static_cast<std::size_t>(count_.value) * sizeof(T) : 0;
  }

 private:
  static constexpr const char* name = "sbora::sgd";

  detail::sgd_args<T> arguments(std::span<T> parameters, std::span<const T> gradient, const step_options& now) const {
    using enum detail::option_range;
    // At the first step the velocity is the gradient itself, undampened.
    const double gradient_weight = steps_.value() == 0 ? 1.0 : 1.0 - options_.dampening;
    return {parameters.data(),
            gradient.data(),
            velocity_.get(),
            detail::as_used<T>(name, "gradient_scale", scale, now.gradient_scale),
            detail::as_used<T>(name, "the learning rate", number, now.learning_rate),
            detail::as_used<T>(name, "momentum", below_one, options_.momentum),
            detail::as_used<T>(name, "1 - dampening", number, gradient_weight),
            detail::as_used<T>(name, "weight_decay", not_negative, options_.weight_decay),
            options_.nesterov,
            0,
            0};
  }

  sgd_options options_;
  detail::reset_on_move<index_t> count_;
  detail::step_count steps_;
  detail::aligned_array<T> velocity_;
};

}  // namespace sbora::inline SBORA_ABI
