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

/// AdamW over one flat span of parameters, as torch.optim.AdamW.
///
/// Effect      t += 1; g *= gradient_scale; m = β1·m + (1 - β1)·g; v = β2·v + (1 - β2)·g²;
///             w = w·(1 - lr·decay) - lr·(m/(1 - β1ᵗ)) / (√v/√(1 - β2ᵗ) + ε)
/// Shapes      parameters and gradient: parameter_count numbers each.
/// Requires    sizes as at construction, options in range, finite learning rates and gradient scales:
///             checked. Gradients aren't: clip_scale() finds what isn't finite.
/// Aliasing    parameters, gradient and state don't overlap.
/// Lifetime    owns the two moments, 2·parameter_count numbers; refers to nothing.
/// Cost        one pass: 28 bytes an element for float, 56 for double; no allocation in step().
/// Numerics    in T, corrections in double; independent of the executor.
/// Thread      one step at a time for each object.
/// Errors      config_error, shape_error, before anything is written.
/// Source      Loshchilov and Hutter, arXiv 1711.05101; torch.optim.AdamW.
template <class T>
class adamw {
 public:
  explicit adamw(index_t parameter_count, adamw_options options = {})
      : options_(options), count_(parameter_count) {
    constexpr const char* who = "sbora::adamw";
    if (count_ < 1) throw shape_error("sbora::adamw: no parameters");
    detail::check_option(options.learning_rate > 0, who, "learning_rate must be positive",
                         options.learning_rate);
    detail::check_option(options.beta1 >= 0 && options.beta1 < 1, who, "beta1 must be in [0, 1)",
                         options.beta1);
    detail::check_option(options.beta2 >= 0 && options.beta2 < 1, who, "beta2 must be in [0, 1)",
                         options.beta2);
    detail::check_option(options.epsilon > 0, who, "epsilon must be positive", options.epsilon);
    detail::check_option(options.weight_decay >= 0, who, "weight_decay must not be negative",
                         options.weight_decay);
    moments_ = detail::make_zeroed_array<T>(2 * count_);
  }

  template <class Executor = serial_executor>
  void step(std::span<T> parameters, std::span<const T> gradient, step_options now,
            Executor&& pool = Executor{}) {
    detail::check_executor<Executor>();
    const auto range = start_step(parameters, gradient, now);
    detail::for_ranges(count_, detail::task_elements, pool, range);
  }

  void step(std::span<T> parameters, std::span<const T> gradient) {
    step(parameters, gradient, {options_.learning_rate});
  }

  /// Begins a step that the caller carries out, by calling what this returns for ranges that make up
  /// [0, parameter_count). For fusing it with other passes over the parameters; see merged_step.
  detail::started_step<detail::adamw_args<T>> start_step(std::span<T> parameters,
                                                    std::span<const T> gradient, step_options now) {
    detail::check_step("sbora::adamw", count_, parameters.size(), gradient.size(), now);
    ++steps_;
    const double correction1 = 1 - std::pow(options_.beta1, static_cast<double>(steps_));
    const double correction2 = 1 - std::pow(options_.beta2, static_cast<double>(steps_));
    return {{parameters.data(),
             gradient.data(),
             moments_.get(),
             moments_.get() + count_,
             static_cast<T>(now.gradient_scale),
             static_cast<T>(options_.beta1),
             static_cast<T>(options_.beta2),
             static_cast<T>(options_.epsilon),
             static_cast<T>(1 - now.learning_rate * options_.weight_decay),
             static_cast<T>(now.learning_rate / correction1),
             static_cast<T>(1 / std::sqrt(correction2)),
             0,
             0},
            detail::optimiser_kernels_now<T>().adamw};
  }

  const adamw_options& options() const noexcept { return options_; }
  index_t steps() const noexcept { return steps_; }
  /// For resuming: put the moments and the step count back.
  void set_steps(index_t steps) noexcept { steps_ = steps; }
  std::span<T> first_moment() noexcept { return {moments_.get(), static_cast<std::size_t>(count_)}; }
  std::span<T> second_moment() noexcept {
    return {moments_.get() + count_, static_cast<std::size_t>(count_)};
  }
  std::size_t state_bytes() const noexcept { return 2 * static_cast<std::size_t>(count_) * sizeof(T); }

 private:
  adamw_options options_;
  index_t count_;
  index_t steps_ = 0;
  detail::aligned_array<T> moments_;
};

}  // namespace sbora::inline SBORA_ABI
