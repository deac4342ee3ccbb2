#pragma once

#include <vector>

#include <sbora/adapters/adapter_view.hpp>
#include <sbora/products/product.hpp>
#include <sbora/weights/weight_view.hpp>

namespace sbora::inline SBORA_ABI {

/// How a layer computes with an adapter. Path, effect and cost:
///   separate         x·Wᵀ, then the adapter's thin product added to the result: 2·tokens·rank·d flops and
///                    a pass over the result more.
///   on_pack          x·(W + s·B·A)ᵀ, the sum formed in the compute type while the weight is packed for
///                    the product: rank·d additions more each time it is packed, once for hundreds of tokens.
///   on_pack_rounded  the same with the sum rounded to the weight's type: bit for bit what merging and
///                    multiplying with the same kernel gives, where it packs (multiplying alone streams few tokens,
///                    see automatic). Over 16-bit weights small updates are rounded away, so don't train with it.
///   automatic        on_pack where the product packs the weight in the compute type, else separate: with
///                    up to 8 tokens (16 over 4-bit codes that AVX-512 reads in groups, and where the product's
///                    depth runs across the weight's memory: dy·W, or x·Wᵀ of in_by_out), and for bf16 by bf16 in
///                    pairs, which would round the sum.
/// A training call with dropout is separate always, since the adapter then sees another input.
enum class delta_path { automatic, separate, on_pack, on_pack_rounded };

/// Any adapter's ΔW by reference, of either kind, for layers that take several at once. Made by
/// adapter.delta(). Lifetime: points into the adapter.
template <class T>
struct weight_delta {
  adapter_kind kind;
  const region* target;
  const T* parameters;
  index_t d_out;
  index_t d_in;
  T scale;
  bool enabled;

  template <adapter_kind Kind>
  weight_delta(const adapter_view<Kind, T>& a)
      : kind(Kind),
        target(a.target),
        parameters(a.parameters),
        d_out(a.d_out),
        d_in(a.d_in),
        scale(a.scale),
        enabled(a.enabled) {}
};

/// Several, as an overlay keeps what is merged.
template <class T>
using delta_list = std::vector<weight_delta<T>>;

}  // namespace sbora::inline SBORA_ABI

namespace sbora::inline SBORA_ABI::detail {

/// What an adapter adds to the packed weight of x·Wᵀ (depth is d_in) or dy·W (depth is d_out).
template <class T>
panel_update<T> update_of(const weight_delta<T>& delta, bool forward, bool rounded) {
  const bool fa = delta.kind == adapter_kind::fa;
  return {delta.target->sorted().data(),
          delta.target->order().data(),
          delta.target->rank(),
          fa == forward,
          delta.parameters,
          fa ? delta.target->rank() : 1,
          fa ? 1 : delta.d_in,
          delta.scale,
          rounded};
}

/// W as the right operand of x·Wᵀ or dy·W.
template <class Weight>
right_operand<typename Weight::storage_scalar> right_of(const Weight& weight, bool forward) {
  return {weight.source(), forward ? weight.d_out() : weight.d_in(), forward == (weight.order() == storage::out_by_in)};
}

}  // namespace sbora::inline SBORA_ABI::detail
