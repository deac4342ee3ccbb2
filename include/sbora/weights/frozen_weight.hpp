#pragma once

#include <concepts>

#include <sbora/weights/weight_view.hpp>

namespace sbora::inline SBORA_ABI {

/// What a layer needs of a weight: weight_view, four_bit_view, int8_view, fp8_view and ggml_view are such.
///
/// Shapes      d_out() × d_in(); order() says whether a line of the storage is a row (out_by_in) or a column.
/// Requires    source()       what kernels read elements by (kernels/sources.hpp)
///             storage_scalar the kernels' name for how elements are stored, which chooses among them
///             compute_scalar what is computed in: float, or double
///             writable       whether a merge may write it
/// Lifetime    a value that refers to memory of somebody else.
/// Thread      reading is safe from several threads.
template <class Weight>
concept frozen_weight = std::copy_constructible<Weight> && requires(const Weight& weight) {
  typename Weight::storage_scalar;
  typename Weight::compute_scalar;
  { Weight::writable } -> std::convertible_to<bool>;
  { weight.d_out() } -> std::same_as<index_t>;
  { weight.d_in() } -> std::same_as<index_t>;
  { weight.order() } -> std::same_as<storage>;
  weight.source();
};

/// One whose elements can be read row by row as floats, for exports, fingerprints and quantising: any that computes in
/// float. Not a double weight, which floats can't hold.
template <class Weight>
concept float_weight = frozen_weight<Weight> && std::same_as<typename Weight::compute_scalar, float>;

}  // namespace sbora::inline SBORA_ABI
