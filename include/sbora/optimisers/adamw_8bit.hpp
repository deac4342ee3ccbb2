#pragma once

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
/// Requires    as adamw. Where a gradient isn't finite, so are, from the next step on, all parameters of its block.
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
class adamw_8bit {
  static_assert(std::is_same_v<T, float>, "sbora::adamw_8bit: parameters are float");

 public:
  explicit adamw_8bit(index_t parameter_count, adamw_options options = {})
      : options_(options), count_(parameter_count) {
    detail::check_adamw<T>(name, count_.value, options);
    const index_t blocks = detail::ceil_div(count_.value, detail::moment_block);
    const auto make = [&](detail::moment_codes& moment, detail::aligned_array<std::uint8_t>& codes,
                          detail::aligned_array<float>& scales, const detail::moment_map& map) {
      codes = detail::make_aligned_array<std::uint8_t>(blocks * detail::moment_block);
      std::fill_n(codes.get(), blocks * detail::moment_block, static_cast<std::uint8_t>(map.code_of_zero));
      scales = detail::make_zeroed_array<float>(blocks);
      moment = {codes.get(), scales.get(), map};
    };
    make(first_, first_codes_, first_absmax_, detail::first_moment_map);
    make(second_, second_codes_, second_absmax_, detail::second_moment_map);
  }

  template <class Executor = serial_executor>
  void step(std::span<T> parameters, std::span<const T> gradient, step_options now, Executor&& pool = Executor{}) {
    detail::check_executor<Executor>();
    detail::check_step(name, count_.value, parameters.size(), gradient.size());
    const auto kernel = detail::get_kernels<detail::adamw_8bit_kernels<float>>().step;  // may throw
    const auto rates = detail::adamw_rates_of<T>(name, options_, now, steps_.next());
    steps_.advance();
    const detail::started_step<detail::adamw_8bit_args> range = {
        {parameters.data(), gradient.data(), first_, second_, rates, 0, 0}, kernel};
    static_assert(detail::task_elements % detail::moment_block == 0);
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

  const adamw_options& options() const& noexcept { return options_; }
  adamw_options options() && noexcept { return options_; }
  index_t steps() const noexcept { return steps_.value(); }
  /// For resuming: put codes, scales and the step count back. Errors: config_error where it is negative.
  void set_steps(index_t steps) { steps_.set(name, steps); }
  std::span<std::uint8_t> first_codes() & noexcept { return {first_.code, static_cast<std::size_t>(count_.value)}; }
  std::span<std::uint8_t> second_codes() & noexcept { return {second_.code, static_cast<std::size_t>(count_.value)}; }
  /// One for every 256 parameters.
  std::span<float> first_absmax() & noexcept { return {first_.absmax, block_count()}; }
  std::span<float> second_absmax() & noexcept { return {second_.absmax, block_count()}; }
  std::size_t state_bytes() const noexcept {
    return 2 * (static_cast<std::size_t>(count_.value) + block_count() * sizeof(float));
  }

 private:
  static constexpr const char* name = "sbora::adamw_8bit";

  std::size_t block_count() const noexcept {
    return static_cast<std::size_t>(detail::ceil_div(count_.value, detail::moment_block));
  }

  adamw_options options_;
  detail::reset_on_move<index_t> count_;
  detail::step_count steps_;
  detail::moment_codes first_, second_;
  detail::aligned_array<std::uint8_t> first_codes_, second_codes_;
  detail::aligned_array<float> first_absmax_, second_absmax_;
};

}  // namespace sbora::inline SBORA_ABI
