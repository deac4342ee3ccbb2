#pragma once

#include <sbora/config/executor.hpp>
#include <sbora/weights/row_reader.hpp>

namespace sbora::inline SBORA_ABI {

/// out = the weight's elements, in float, Eigen::bfloat16 or Eigen::half.
///
/// Requires    equal shapes: checked. out in any order and stride.
/// Cost        one pass in tasks of 16 rows; no allocation.
/// Numerics    each element computed in float, then rounded once, to nearest even.
/// Thread      the executor's tasks write rows of their own.
/// Errors      shape_error.
template <class Weight, class Scalar, class Executor = serial_executor>
void dequantize(const Weight& weight, const weight_view<Scalar>& out, Executor&& pool = Executor{}) {
  detail::check_executor<Executor>();
  if (weight.d_out() != out.d_out() || weight.d_in() != out.d_in()) {
    throw shape_error("sbora::dequantize: the weight is " + detail::shape_text(weight.d_out(), weight.d_in()) +
                      ", the output " + detail::shape_text(out.d_out(), out.d_in()));
  }
  constexpr index_t rows = 16;
  const detail::row_reader<Weight> reader(weight);
  detail::for_ranges(out.d_out(), rows, pool, [&](index_t begin, index_t end) {
    constexpr index_t piece = 1024;
    float values[piece];
    for (index_t row = begin; row < end; ++row) {
      for (index_t at = 0; at < out.d_in(); at += piece) {
        const index_t to = std::min(out.d_in(), at + piece);
        reader.read(row, at, to, values);
        detail::write_row(out, row, at, to, values);
      }
    }
  });
}

}  // namespace sbora::inline SBORA_ABI
