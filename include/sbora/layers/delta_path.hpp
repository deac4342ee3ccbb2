#pragma once

#include <sbora/adapters/weight_delta.hpp>
#include <sbora/products/product.hpp>

namespace sbora::inline SBORA_ABI {

/// How a layer computes with an adapter. Path, effect and cost:
///   separate         x·Wᵀ, then the adapter's thin product added to the result: 2·tokens·rank·d flops and
///                    a pass over the result more.
///   on_pack          x·(W + s·B·A)ᵀ, the sum formed in the compute type while the weight is packed for
///                    the product: rank·d additions more each time it is packed, once for hundreds of tokens.
///   on_pack_rounded  the same with the sum rounded to the weight's type: bit for bit what merging and
///                    multiplying with the same kernel gives, where it packs (multiplying alone streams few tokens,
///                    see automatic). Over 16-bit weights small updates are rounded away, so don't train with it.
///   automatic        on_pack if the product's plan packs the weight in the compute type, else separate: see
///                    products/product_plan.hpp. It streams up to 8 tokens, or 16 where AVX-512 reads 4-bit codes in
///                    groups or the product's depth runs across the weight's memory (dy·W, or x·Wᵀ of in_by_out); bf16
///                    by bf16 in pairs would round the sum.
/// A training call with dropout is separate always, since the adapter then sees another input.
enum class delta_path { automatic, separate, on_pack, on_pack_rounded };

}  // namespace sbora::inline SBORA_ABI

namespace sbora::inline SBORA_ABI::detail {

/// What an adapter adds to the packed weight of x·Wᵀ (depth is d_in) or dy·W (depth is d_out).
template <class T>
panel_update<T> update_of(const weight_delta<T>& delta, bool forward, bool rounded) {
  const region_geometry geometry = delta.geometry();
  return {.index = delta.target->sorted().data(),
          .position = delta.target->order().data(),
          .rank = delta.rank(),
          .along_depth = geometry.is_of_input(forward),
          .trained = delta.parameters,
          .trained_line_stride = geometry.line_stride(),
          .trained_index_stride = geometry.index_stride(),
          .scale = delta.scale,
          .rounded = rounded};
}

/// W as the right operand of x·Wᵀ or dy·W.
template <class Weight>
right_operand<typename Weight::storage_scalar> right_of(const Weight& weight, bool forward) {
  return {weight.source(), forward ? weight.d_out() : weight.d_in(), forward == (weight.order() == storage::out_by_in)};
}

}  // namespace sbora::inline SBORA_ABI::detail
