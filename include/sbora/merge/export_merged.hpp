#pragma once

#include <span>

#include <sbora/merge/merged_row.hpp>
#include <sbora/weights/row_reader.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// Of a result.
template <class Out>
inline constexpr misuse misuse_of_out = misuse::weight;
template <class Scalar>
inline constexpr misuse misuse_of_out<weight_view<Scalar>> = std::is_const_v<Scalar> ? misuse::read_only : misuse::none;

/// Of dequantize: (weight, out, executor).
template <class... Arguments>
inline constexpr misuse misuse_of_dequantize = misuse::export_call;
template <class Weight, class Out, class... Rest>
inline constexpr misuse misuse_of_dequantize<Weight, Out, Rest...> = [] {
  constexpr misuse in = misuse_of_weight<std::remove_cvref_t<Weight>>(), out = misuse_of_out<std::remove_cvref_t<Out>>;
  return in != misuse::none ? in : out != misuse::none ? out : misuse_of_rest<Rest...>(misuse::export_call);
}();

using span_of_deltas = std::span<const weight_delta<float>>;
template <class... Arguments>
inline constexpr bool has_deltas_second = false;
template <class Weight, class Deltas, class... Rest>
inline constexpr bool has_deltas_second<Weight, Deltas, Rest...> =
    sizeof...(Rest) > 0 && std::is_convertible_v<Deltas, span_of_deltas>;

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

/// out = W + ΔW₁ + ΔW₂ + …, dense, in float, Eigen::bfloat16 or Eigen::half, of a weight of any kind.
///
/// Requires    equal shapes of weight, deltas and out: checked. Disabled deltas are left out.
/// Cost        one pass in tasks of 16 rows; the regions' indices are copied once.
/// Numerics    sums in float, each delta rounded first; rounded to out's type once, to nearest even.
/// Thread      the executor's tasks write rows of their own.
/// Errors      shape_error, before anything is written.
template <class Weight, class Scalar, class Executor = serial_executor>
  requires(detail::misuse_of_dequantize<Weight, weight_view<Scalar>, Executor> == detail::misuse::none)
void export_merged(const Weight& weight, std::span<const weight_delta<float>> deltas, const weight_view<Scalar>& out,
                   Executor&& pool = Executor{}) {
  const auto check = [&](const char* what, index_t d_out, index_t d_in) {
    if (d_out == weight.d_out() && d_in == weight.d_in()) return;
    throw shape_error("sbora::export_merged: the weight is " + detail::shape_text(weight.d_out(), weight.d_in()) +
                      ", the " + what + " " + detail::shape_text(d_out, d_in));
  };
  check("output", out.d_out(), out.d_in());
  for (const weight_delta<float>& delta : deltas) check("delta", delta.d_out, delta.d_in);
  const detail::row_reader<Weight> reader(weight);
  const detail::merged_row merged(deltas);
  detail::for_ranges(out.d_out(), detail::export_rows, pool, [&](index_t row_begin, index_t row_end) {
    float values[detail::export_piece];
    for (index_t row = row_begin; row < row_end; ++row) {
      for (index_t begin = 0; begin < out.d_in(); begin += detail::export_piece) {
        const index_t end = std::min(out.d_in(), begin + detail::export_piece);
        reader.read(row, begin, end, values);
        merged.add(row, begin, end, values);
        detail::write_row(out, row, begin, end, values);
      }
    }
  });
}

/// The same without deltas: the weight's elements.
template <class Weight, class Scalar, class Executor = serial_executor>
  requires(detail::misuse_of_dequantize<Weight, weight_view<Scalar>, Executor> == detail::misuse::none)
void dequantize(const Weight& weight, const weight_view<Scalar>& out, Executor&& pool = Executor{}) {
  export_merged(weight, {}, out, pool);
}

/// Any other arguments don't compile, and these say why.
template <class Weight, class Out, class... Rest>
  requires(detail::misuse_of_dequantize<Weight, Out, Rest...> != detail::misuse::none)
void export_merged(Weight&&, std::span<const weight_delta<float>>, Out&&, Rest&&...) {
  constexpr auto found = detail::misuse_of_dequantize<Weight, Out, Rest...>;
#include <sbora/core/misuse.inl>
}
template <class... Arguments>
  requires(!detail::has_deltas_second<Arguments...>)
void export_merged(Arguments&&...) {
  constexpr auto found = detail::has_deltas_second<Arguments...> ? detail::misuse::none : detail::misuse::export_call;
#include <sbora/core/misuse.inl>
}
template <class... Arguments>
  requires(detail::misuse_of_dequantize<Arguments...> != detail::misuse::none)
void dequantize(Arguments&&...) {
  constexpr auto found = detail::misuse_of_dequantize<Arguments...>;
#include <sbora/core/misuse.inl>
}

}  // namespace sbora::inline SBORA_ABI
