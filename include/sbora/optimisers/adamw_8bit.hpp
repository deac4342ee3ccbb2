#pragma once

#include <array>
#include <type_traits>

#include <sbora/optimisers/adamw_options.hpp>
#include <sbora/optimisers/moment_maps.hpp>

namespace sbora::inline SBORA_ABI {

/// AdamW with its two moments in 8 bits: a quarter of adamw's state.
///
/// Effect      as adamw, in float, on moments decoded from 8-bit codes; the parameters get the step of the new
///             moments, which then are rounded to the nearest entry of bitsandbytes' dynamic maps (signed for the
///             first, unsigned for the second moment), times the greatest of each 256 elements. Second moments
///             that aren't zero never become zero.
/// Shapes      parameters and gradient: parameter_count numbers each.
/// Requires    as adamw. One non-finite gradient makes all 256 parameters of its block non-finite at the next step.
/// Aliasing    parameters, gradient and state don't overlap.
/// Lifetime    owns codes and scales, 2.03 bytes a parameter; refers to nothing.
/// Cost        one pass: 16 bytes an element, and more arithmetic than adamw; no allocation in step().
/// Numerics    blocks are the unit: independent of the executor. Rounding moves moments by up to 0.8 % (of the
///             second: 0.4 %) of their block's greatest, and by less where they are less than a tenth of it.
/// Thread      one step at a time for each object.
/// Errors      config_error, shape_error, before anything is written.
/// Source      8-bit Optimizers via Block-wise Quantization, arXiv 2110.02861; bitsandbytes AdamW8bit, whose
///             state1, absmax1, state2 and absmax2 are the arrays here.
template <class T>
class adamw_8bit : public detail::optimiser_base<adamw_8bit<T>, T, adamw_options> {
  static_assert(std::is_same_v<T, float>, "sbora::adamw_8bit: parameters are float");
  using base = detail::optimiser_base<adamw_8bit, T, adamw_options>;
  friend base;

 public:
  static constexpr const char* name = "sbora::adamw_8bit";

  /// Of so many parameters, or of blocks (an adapter's blocks()).
  explicit adamw_8bit(detail::parameter_total parameters, adamw_options options = {})
      : base(parameters, options),
        first_(this->parameter_count(), detail::first_moment_map),
        second_(this->parameter_count(), detail::second_moment_map) {}

  std::span<std::uint8_t> first_codes() & noexcept { return this->span_of(first_.code.get()); }
  std::span<std::uint8_t> second_codes() & noexcept { return this->span_of(second_.code.get()); }
  /// One for every 256 parameters.
  std::span<float> first_absmax() & noexcept { return {first_.absmax.get(), block_count()}; }
  std::span<float> second_absmax() & noexcept { return {second_.absmax.get(), block_count()}; }
  std::array<optimiser_state, 4> state() & noexcept {
    return {{{"first_codes", first_codes()},
             {"first_absmax", first_absmax()},
             {"second_codes", second_codes()},
             {"second_absmax", second_absmax()}}};
  }

 private:
  static constexpr index_t range_multiple = detail::moment_block;
  static void check(const adamw_options& options) { detail::check_adamw<T>(name, options); }

  auto begin(std::span<T> parameters, std::span<const T> gradient, const step_options& now, index_t step) {
    const auto kernel = detail::get_kernels<detail::adamw_8bit_kernels<float>>().step;  // may throw
    return detail::started_step<detail::adamw_8bit_args>{
        {.parameter = parameters.data(),
         .gradient = gradient.data(),
         .first = first_.codes(detail::first_moment_map),
         .second = second_.codes(detail::second_moment_map),
         .rates = detail::adamw_rates_of<T>(name, this->options(), now, step)},
        kernel};
  }

  std::size_t block_count() const noexcept {
    return static_cast<std::size_t>(detail::ceil_div(this->parameter_count(), detail::moment_block));
  }

  /// Whole blocks of codes, and their scales.
  struct moment {
    detail::aligned_array<std::uint8_t> code;
    detail::aligned_array<float> absmax;

    moment(index_t count, const detail::moment_map& map) {
      const index_t blocks = detail::ceil_div(count, detail::moment_block);
      code = detail::make_aligned_array<std::uint8_t>(blocks * detail::moment_block);
      std::fill_n(code.get(), blocks * detail::moment_block, static_cast<std::uint8_t>(map.code_of_zero));
      absmax = detail::make_zeroed_array<float>(blocks);
    }
    detail::moment_codes codes(const detail::moment_map& map) const noexcept { return {code.get(), absmax.get(), map}; }
  };

  moment first_, second_;
};

}  // namespace sbora::inline SBORA_ABI
