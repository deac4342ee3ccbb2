#pragma once

#include <array>

#include <sbora/optimisers/optimiser_base.hpp>

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
class adamw : public detail::optimiser_base<adamw<T>, T, adamw_options> {
  using base = detail::optimiser_base<adamw, T, adamw_options>;
  friend base;

 public:
  static constexpr const char* name = "sbora::adamw";

  /// Of so many parameters, or of blocks (an adapter's blocks()).
  explicit adamw(detail::parameter_total parameters, adamw_options options = {})
      : base(parameters, options), moments_(detail::make_zeroed_array<T>(2 * this->parameter_count())) {}

  std::span<T> first_moment() & noexcept { return this->span_of(moments_.get()); }
  std::span<T> second_moment() & noexcept { return this->span_of(moments_.get() + this->parameter_count()); }
  std::array<optimiser_state, 2> state() & noexcept {
    return {{{"first_moment", first_moment()}, {"second_moment", second_moment()}}};
  }

 private:
  static constexpr index_t range_multiple = 1;
  static void check(const adamw_options& options) { detail::check_adamw<T>(name, options); }

  auto begin(std::span<T> parameters, std::span<const T> gradient, const step_options& now, index_t step) {
    return detail::start_with<detail::adamw_rates<T>>(
        {.parameter = parameters.data(),
         .gradient = gradient.data(),
         .state = {moments_.get(), moments_.get() + this->parameter_count()},
         .rates = detail::adamw_rates_of<T>(name, this->options(), now, step)});
  }

  detail::aligned_array<T> moments_;
};

}  // namespace sbora::inline SBORA_ABI
