#pragma once

#include <sbora/optimisers/flat_span.hpp>

namespace sbora::inline SBORA_ABI {

/// Defaults are torch.optim.SGD's, with its learning rate of 1e-3.
struct sgd_options {
  double learning_rate = 1e-3;   ///< > 0, of steps that name no other
  double momentum = 0;           ///< [0, 1)
  double dampening = 0;          ///< [0, 1]; with nesterov 0
  double weight_decay = 0;       ///< >= 0, added to the gradient
  bool nesterov = false;         ///< needs momentum
};

/// SGD with momentum over one flat span of parameters, as torch.optim.SGD.
///
/// Effect      g = gradient_scale·g + decay·w; u = momentum·u + (1 - dampening)·g, at first u = g;
///             w -= lr·u, or lr·(g + momentum·u) with nesterov.
/// Shapes      parameters and gradient: parameter_count numbers each.
/// Requires    sizes as at construction, options in range, finite learning rates and gradient scales:
///             checked. Gradients aren't: clip_scale() finds what isn't finite.
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
  explicit sgd(index_t parameter_count, sgd_options options = {})
      : options_(options), count_(parameter_count) {
    constexpr const char* who = "sbora::sgd";
    if (count_.value < 1) throw shape_error("sbora::sgd: no parameters");
    detail::check_option(options.learning_rate > 0, who, "learning_rate must be positive",
                         options.learning_rate);
    detail::check_option(options.momentum >= 0 && options.momentum < 1, who,
                         "momentum must be in [0, 1)", options.momentum);
    detail::check_option(options.dampening >= 0 && options.dampening <= 1, who,
                         "dampening must be in [0, 1]", options.dampening);
    detail::check_option(options.weight_decay >= 0, who, "weight_decay must not be negative",
                         options.weight_decay);
    if (options.nesterov && (options.momentum == 0 || options.dampening != 0)) {
      throw config_error("sbora::sgd: nesterov needs momentum and no dampening");
    }
    if (options.momentum > 0) velocity_ = detail::make_zeroed_array<T>(count_.value);
  }

  template <class Executor = serial_executor>
  void step(std::span<T> parameters, std::span<const T> gradient, step_options now,
            Executor&& pool = Executor{}) {
    detail::check_executor<Executor>();
    const auto range = start_step(parameters, gradient, now);
    detail::for_ranges(count_.value, detail::task_elements, pool, range);
  }

  void step(std::span<T> parameters, std::span<const T> gradient) {
    step(parameters, gradient, {options_.learning_rate});
  }

  /// Begins a step that the caller carries out, by calling what this returns for ranges that make up
  /// [0, parameter_count). For fusing it with other passes over the parameters; see merged_step.
  detail::started_step<detail::sgd_args<T>> start_step(std::span<T> parameters,
                                                  std::span<const T> gradient, step_options now) {
    detail::check_step("sbora::sgd", count_.value, parameters.size(), gradient.size(), now);
    const auto kernel = detail::optimiser_kernels_now<T>().sgd;  // may throw
    // At the first step the velocity is the gradient itself, undampened.
    const double gradient_weight = steps_ == 0 ? 1.0 : 1.0 - options_.dampening;
    ++steps_;
    return {{parameters.data(),
             gradient.data(),
             velocity_.get(),
             static_cast<T>(now.gradient_scale),
             static_cast<T>(now.learning_rate),
             static_cast<T>(options_.momentum),
             static_cast<T>(gradient_weight),
             static_cast<T>(options_.weight_decay),
             options_.nesterov,
             0,
             0},
            kernel};
  }

  const sgd_options& options() const noexcept { return options_; }
  index_t steps() const noexcept { return steps_; }
  /// For resuming: put the velocity and the step count back.
  void set_steps(index_t steps) noexcept { steps_ = steps; }
  /// Empty without momentum.
  std::span<T> velocity() noexcept {
    return {velocity_.get(), velocity_ != nullptr ? static_cast<std::size_t>(count_.value) : 0};
  }
  std::size_t state_bytes() const noexcept {
    return velocity_ != nullptr ? static_cast<std::size_t>(count_.value) * sizeof(T) : 0;
  }

 private:
  sgd_options options_;
  detail::reset_on_move<index_t> count_;
  index_t steps_ = 0;
  detail::aligned_array<T> velocity_;
};

}  // namespace sbora::inline SBORA_ABI
