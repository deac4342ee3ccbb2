#pragma once

#include <sbora/adapters/adapter.hpp>

namespace sbora::inline SBORA_ABI {

/// An adapter of W as one of Wᵀ, for tied weights: what is FA for the one is FB for the other, over the same region,
/// trained half, gradient and dropout steps.
///
/// Effect      ΔWᵀ = (s·B·A)ᵀ. Layers over Wᵀ take it in the adapter's place, in every call.
/// Shapes      of an adapter of d_out × d_in: one for a weight of d_in × d_out.
/// Lifetime    refers to the adapter.
/// Cost        nothing is copied; calls take what they take for the adapter.
/// Thread      as the adapter: a training forward and backward write it.
template <adapter_kind Kind, class T>
class transposed {
 public:
  static constexpr adapter_kind kind = detail::transposed_kind(Kind);
  using scalar = T;
  using saved_type = typename basic_adapter<kind, T>::saved_type;

  explicit transposed(basic_adapter<Kind, T>& adapter) noexcept : adapter_(&adapter) {}

  index_t d_out() const noexcept { return adapter_->d_in(); }
  index_t d_in() const noexcept { return adapter_->d_out(); }
  index_t rank() const noexcept { return adapter_->rank(); }

  weight_delta<T> delta() const {
    weight_delta<T> delta = adapter_->delta();
    delta.kind = kind;
    std::swap(delta.d_out, delta.d_in);
    delta.transposed = !delta.transposed;
    return delta;
  }

  std::uint64_t dropout_step() const noexcept { return adapter_->dropout_step(); }
  std::uint64_t next_dropout_step() noexcept { return adapter_->next_dropout_step(); }

 private:
  basic_adapter<Kind, T>* adapter_;
};

}  // namespace sbora::inline SBORA_ABI
