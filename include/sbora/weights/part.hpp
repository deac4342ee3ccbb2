#pragma once

#include <string>

#include <sbora/core/errors.hpp>

namespace sbora::inline SBORA_ABI {

/// The indices from `begin` up to, and without, `end`.
struct index_range {
  index_t begin;
  index_t end;

  constexpr index_t size() const noexcept { return end - begin; }
  /// Whether it is some of [0, size), and not empty.
  constexpr bool is_inside(index_t size) const noexcept { return begin >= 0 && begin < end && end <= size; }
  friend bool operator==(const index_range&, const index_range&) = default;
};

/// Rows (output features) and columns (input features) of a weight.
struct weight_part {
  index_range rows;
  index_range columns;
};

}  // namespace sbora::inline SBORA_ABI

namespace sbora::inline SBORA_ABI::detail {

inline std::string range_text(const char* what, index_range range) {
  return message({what, " ", range.begin, " to ", range.end});
}

/// Errors: shape_error.
inline void check_range(const char* who, const char* what, index_range range, index_t size) {
  if (range.is_inside(size)) return;
  throw shape_error(message({who, ": ", range_text(what, range), ", expected some of 0 to ", size}));
}

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

/// A part of a weight as a weight of its own: q of a fused qkv, the gate of a gate_up, an expert of a stack.
///
/// Effect      the same view of rows [begin, end), or of those columns, and all of the others. A part of a part is one.
/// Shapes      rows_of: rows.size() × d_in; columns_of: d_out × columns.size().
/// Requires    a range inside the weight. Dense weights and int8: any. fp8 in blocks of 128 × 128: one that begins at
///             a multiple of 128. ggml: one whose first column begins a block. 4-bit codes: one whose first element,
///             row·d_in + column, begins a block, and with nested scales one of 256 blocks: at blocksize 64, plain, any
///             row where d_in is a multiple of 64.
///             Otherwise dequantize() makes a dense weight that takes any.
/// Aliasing    the weight's memory. Merges into several parts are as independent as their elements are: a merger knows
///             of no other, so parts that are merged into at the same time must not overlap.
/// Lifetime    as the view's.
/// Cost        none: no copy, nothing is read.
/// Errors      shape_error, quantization_error, which say what to do.
template <class Weight>
Weight rows_of(const Weight& weight, index_range rows) {
  detail::check_range("sbora::rows_of", "rows", rows, weight.d_out());
  return weight.part({rows, {0, weight.d_in()}});
}
template <class Weight>
Weight columns_of(const Weight& weight, index_range columns) {
  detail::check_range("sbora::columns_of", "columns", columns, weight.d_in());
  return weight.part({{0, weight.d_out()}, columns});
}

}  // namespace sbora::inline SBORA_ABI
