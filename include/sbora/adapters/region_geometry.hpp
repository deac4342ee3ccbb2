#pragma once

#include <optional>
#include <type_traits>

#include <sbora/core/checked_size.hpp>
#include <sbora/kernels/arguments.hpp>
#include <sbora/weights/weight_view.hpp>

namespace sbora::inline SBORA_ABI {

/// fa: a region of columns, B (d_out × rank) trained.  fb: a region of rows, A (rank × d_in) trained.
enum class adapter_kind { fa, fb };

constexpr const char* to_string(adapter_kind kind) noexcept { return kind == adapter_kind::fa ? "FA" : "FB"; }

}  // namespace sbora::inline SBORA_ABI

namespace sbora::inline SBORA_ABI::detail {

/// In errors.
constexpr const char* adapter_name(adapter_kind kind) noexcept {
  return kind == adapter_kind::fa ? "sbora::fa_adapter" : "sbora::fb_adapter";
}

/// Of ΔWᵀ.
constexpr adapter_kind transposed_kind(adapter_kind kind) noexcept {
  return kind == adapter_kind::fa ? adapter_kind::fb : adapter_kind::fa;
}

/// Of adapters whose regions are whole rows of W.
inline constexpr adapter_kind row_kind = adapter_kind::fb;

/// What a backward needs of x: its features in the region (fa), or all of it.
constexpr bool saves_gathered(adapter_kind kind) noexcept { return kind == adapter_kind::fa; }

/// Of ΔW = s·B·A: whether B is trained, and A is the one-hot half, or the other way round.
constexpr bool trains_b(adapter_kind kind) noexcept { return kind == adapter_kind::fa; }

/// What the region is of, and its size's name.
constexpr const char* dim_name(adapter_kind kind) noexcept { return kind == adapter_kind::fa ? "d_in" : "d_out"; }
constexpr const char* region_name(adapter_kind kind) noexcept { return kind == adapter_kind::fa ? "columns" : "rows"; }

/// f(std::integral_constant) of a kind that is known when the program runs, for what is made by kind.
template <class Function>
constexpr decltype(auto) with_kind(adapter_kind kind, Function&& f) {
  if (kind == adapter_kind::fa) return f(std::integral_constant<adapter_kind, adapter_kind::fa>());
  return f(std::integral_constant<adapter_kind, adapter_kind::fb>());
}

/// What an adapter's kind makes of its sizes, for those who needn't know which it is: nobody outside this header asks,
/// which tests/layering checks. The region's indices name input features (fa) or output features (fb); along the other
/// dimension of the weight run its lines.
struct region_geometry {
  adapter_kind kind;
  index_t dim;    ///< of the region: d_in (fa) or d_out (fb)
  index_t lines;  ///< the other of the two
  index_t rank;
  bool rows_along_region;  ///< of the trained half in memory: a row runs along the indices, and not along the lines

  /// `transposed`: the trained half lies as that of an adapter of the other kind, on the transposed weight.
  constexpr region_geometry(adapter_kind kind_, index_t d_out, index_t d_in, index_t rank_,
                            bool transposed = false) noexcept
      : kind(kind_),
        dim(kind_ == adapter_kind::fa ? d_in : d_out),
        lines(kind_ == adapter_kind::fa ? d_out : d_in),
        rank(rank_),
        rows_along_region((kind_ == adapter_kind::fa) != transposed) {}

  /// The trained half, row-major: lines × rank, or rank × lines.
  constexpr index_t rows() const noexcept { return rows_along_region ? lines : rank; }
  constexpr index_t cols() const noexcept { return rows_along_region ? rank : lines; }

  /// Number j of a line is element line·line_stride + j·index_stride of it.
  constexpr index_t line_stride() const noexcept { return rows_along_region ? rank : 1; }
  constexpr index_t index_stride() const noexcept { return rows_along_region ? 1 : lines; }

  /// Row and column of the weight where line and index cross.
  constexpr index_t weight_row(index_t line, index_t index) const noexcept {
    return kind == adapter_kind::fa ? line : index;
  }
  constexpr index_t weight_col(index_t line, index_t index) const noexcept {
    return kind == adapter_kind::fa ? index : line;
  }

  constexpr std::optional<index_t> parameter_count() const noexcept { return size_product({rank, lines}); }

  /// How the region lies in a weight's memory.
  constexpr region_form form(storage order) const noexcept {
    return (kind == adapter_kind::fa) == (order == storage::out_by_in) ? region_form::columns : region_form::rows;
  }

  /// Whether the region's features are those of x in y = x·Wᵀ, or of dy in dx = dy·W: then the product's left operand
  /// is gathered, else its result is scattered.
  constexpr bool is_of_input(bool forward) const noexcept { return (kind == adapter_kind::fa) == forward; }
};

}  // namespace sbora::inline SBORA_ABI::detail
