#pragma once

#include <sbora/optimisers/adamw_options.hpp>

namespace sbora::inline SBORA_ABI {

/// AdamW over one flat span of parameters, as torch.optim.AdamW.
///
/// Effect      t += 1; g *= gradient_scale; m = β1·m + (1 - β1)·g; v = β2·v + (1 - β2)·g²;
///             w = w·(1 - lr·decay) - lr·(m/(1 - β1ᵗ)) / (√v/√(1 - β2ᵗ) + ε)
/// Shapes      parameters and gradient: parameter_count numbers each.
/// Requires    sizes as at construction, options in range, finite learning rates and gradient scales,
///             all of them as T has them: checked. Gradients aren't: clip_scale() finds what isn't finite.
/// Aliasing    parameters, gradient and state don't overlap.
/// Lifetime    owns the two moments, 2·parameter_count numbers; refers to nothing.
/// Cost        one pass: 28 bytes an element for float, 56 for double; no allocation in step().
/// Numerics    in T; 1 - β1, 1 - β2, 1 - lr·decay and corrections in double, then rounded; independent of the executor.
/// Thread      one step at a time for each object.
/// Errors      config_error, shape_error, before anything is written.
/// Source      Loshchilov and Hutter, arXiv 1711.05101; torch.optim.AdamW.
template <class T>
class adamw {
 public:
  explicit adamw(index_t parameter_count, adamw_options options = {}) : options_(options), count_(parameter_count) {
    detail::check_adamw<T>(name, count_.value, options);
    moments_ = detail::make_zeroed_array<T>(2 * count_.value);
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
  detail::started_step<detail::adamw_args<T>> start_step(std::span<T> parameters, std::span<const T> gradient,
                                                         step_options now) & {
    detail::check_step(name, count_.value, parameters.size(), gradient.size());
    const auto kernel = detail::get_kernels<detail::optimiser_kernels<T>>().adamw;  // may throw
    const auto rates = detail::adamw_rates_of<T>(name, options_, now, steps_.next());
    steps_.advance();
    return {{parameters.data(), gradient.data(), moments_.get(), moments_.get() + count_.value, rates, 0, 0}, kernel};
  }

  const adamw_options& options() const& noexcept { return options_; }
  adamw_options options() && noexcept { return options_; }
  index_t steps() const noexcept { return steps_.value(); }
  /// For resuming: put the moments and the step count back. Errors: config_error where it is negative.
  void set_steps(index_t steps) { steps_.set(name, steps); }
  std::span<T> first_moment() & noexcept { return {moments_.get(), static_cast<std::size_t>(count_.value)}; }
  std::span<T> second_moment() & noexcept {
    return {moments_.get() + count_.value, static_cast<std::size_t>(count_.value)};
  }
  std::size_t state_bytes() const noexcept { return 2 * static_cast<std::size_t>(count_.value) * sizeof(T); }

 private:
  static constexpr const char* name = "sbora::adamw";

  adamw_options options_;
  detail::reset_on_move<index_t> count_;
  detail::step_count steps_;
  detail::aligned_array<T> moments_;
};

}  // namespace sbora::inline SBORA_ABI
