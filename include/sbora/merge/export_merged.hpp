#pragma once

#include <span>

#include <sbora/merge/merged_row.hpp>
#include <sbora/weights/row_reader.hpp>

namespace sbora::inline SBORA_ABI {

/// out = W + ΔW₁ + ΔW₂ + …, dense, in float, Eigen::bfloat16 or Eigen::half, of a weight of any kind.
///
/// Requires    equal shapes of weight, deltas and out: checked. Disabled deltas are left out.
/// Cost        one pass in tasks of 16 rows; the regions' indices are copied once.
/// Numerics    sums in float, each delta rounded first; rounded to out's type once, to nearest even.
/// Thread      the executor's tasks write rows of their own.
/// Errors      shape_error, before anything is written.
template <float_weight Weight, class Scalar, class Executor = serial_executor>
void export_merged(const Weight& weight, std::span<const weight_delta<float>> deltas, const weight_view<Scalar>& out,
                   Executor&& pool = Executor{}) {
  detail::check_executor<Executor>();
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
template <float_weight Weight, class Scalar, class Executor = serial_executor>
void dequantize(const Weight& weight, const weight_view<Scalar>& out, Executor&& pool = Executor{}) {
  export_merged(weight, {}, out, pool);
}

/// Of a weight that isn't read as floats: don't compile, and these say why.
template <class Weight, class... Rest>
  requires(!float_weight<Weight>)
void export_merged(const Weight&, Rest&&...) {
  static_assert(
      sizeof(Weight) == 0,
      "sbora: a weight is read row by row as floats (dequantize, export_merged): it has to be a float_weight, "
      "a view of float, bfloat16, half or codes of 4 or 8 bits, not of double");
}
template <class Weight, class... Rest>
  requires(!float_weight<Weight>)
void dequantize(const Weight&, Rest&&...) {
  static_assert(
      sizeof(Weight) == 0,
      "sbora: a weight is read row by row as floats (dequantize, export_merged): it has to be a float_weight, "
      "a view of float, bfloat16, half or codes of 4 or 8 bits, not of double");
}

}  // namespace sbora::inline SBORA_ABI
