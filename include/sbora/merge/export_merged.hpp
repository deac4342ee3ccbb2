#pragma once

#include <span>

#include <sbora/adapters/weight_delta.hpp>
#include <sbora/core/executor.hpp>
#include <sbora/simd/opaque.hpp>
#include <sbora/weights/row_reader.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// values[k - begin] += the delta's part of (row, k), k in [begin, end).
inline void add_delta_to_row(const weight_delta<float>& delta, index_t row, index_t begin, index_t end, float* values) {
  const auto sorted = delta.target->sorted();
  const auto order = delta.target->order();
  if (delta.kind == adapter_kind::fa) {
    auto at = std::lower_bound(sorted.begin(), sorted.end(), begin);
    for (; at != sorted.end() && *at < end; ++at) {
      const index_t position = order[static_cast<std::size_t>(at - sorted.begin())];
      values[*at - begin] += opaque(delta.scale * delta.parameters[row * delta.target->rank() + position]);
    }
    return;
  }
  const auto at = std::lower_bound(sorted.begin(), sorted.end(), row);
  if (at == sorted.end() || *at != row) return;
  const float* const trained = delta.parameters + order[static_cast<std::size_t>(at - sorted.begin())] * delta.d_in;
  for (index_t k = begin; k < end; ++k) values[k - begin] += opaque(delta.scale * trained[k]);
}

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

/// out = W + ΔW₁ + ΔW₂ + …, dense, in float, Eigen::bfloat16 or Eigen::half, of a weight of any kind.
///
/// Requires    equal shapes of weight, deltas and out: checked. Disabled deltas are left out.
/// Cost        one pass in tasks of 16 rows; no allocation.
/// Numerics    sums in float, each delta rounded first; rounded to out's type once, to nearest even.
/// Thread      the executor's tasks write rows of their own.
/// Errors      shape_error, before anything is written.
template <class Weight, class Scalar, class Executor = serial_executor>
  requires detail::is_read_by_rows<Weight>
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
  detail::for_ranges(out.d_out(), detail::export_rows, pool, [&](index_t row_begin, index_t row_end) {
    float values[detail::export_piece];
    for (index_t row = row_begin; row < row_end; ++row) {
      for (index_t begin = 0; begin < out.d_in(); begin += detail::export_piece) {
        const index_t end = std::min(out.d_in(), begin + detail::export_piece);
        reader.read(row, begin, end, values);
        for (const weight_delta<float>& delta : deltas) {
          if (delta.enabled) detail::add_delta_to_row(delta, row, begin, end, values);
        }
        detail::write_row(out, row, begin, end, values);
      }
    }
  });
}

/// The same without deltas: the weight's elements.
template <class Weight, class Scalar, class Executor = serial_executor>
  requires detail::is_read_by_rows<Weight>
void dequantize(const Weight& weight, const weight_view<Scalar>& out, Executor&& pool = Executor{}) {
  export_merged(weight, {}, out, pool);
}

/// Of a double weight: don't compile, and these say why.
template <class Weight, class... Rest>
  requires(!detail::is_read_by_rows<Weight>)
void export_merged(const Weight&, Rest&&...) {
  static_assert(sizeof(Weight) == 0,
                "sbora: a weight is read row by row as floats (dequantize, export_merged): it has "
                "to be of float, bfloat16, half, 4-bit codes or int8, not of double");
}
template <class Weight, class... Rest>
  requires(!detail::is_read_by_rows<Weight>)
void dequantize(const Weight&, Rest&&...) {
  static_assert(sizeof(Weight) == 0,
                "sbora: a weight is read row by row as floats (dequantize, export_merged): it has "
                "to be of float, bfloat16, half, 4-bit codes or int8, not of double");
}

}  // namespace sbora::inline SBORA_ABI
