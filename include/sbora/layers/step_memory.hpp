#pragma once

#include <sbora/adapters/adapter.hpp>
#include <sbora/layers/linear.hpp>

namespace sbora::inline SBORA_ABI {

/// Bytes that a training step of one layer with an adapter takes at most, beside the weight and the
/// activations x, y, dy and dx, which are the caller's.
struct step_memory {
  std::size_t workspace;  ///< one for all layers that run one after another
  std::size_t saved;      ///< per layer: what FA keeps of its input
  std::size_t adapter;    ///< per layer: parameters, gradient, indices
  std::size_t optimiser;  ///< per layer: adamw's two moments
  std::size_t originals;  ///< per layer, only while the adapter is merged

  std::size_t peak() const noexcept { return workspace + saved + adapter + optimiser + originals; }
};

/// What a step on `tokens` takes; Result = Eigen::bfloat16 where y or dx are that.
///
/// Cost        none of it grows with d_out·d_in.
/// Errors      none.
template <class Result = void, class Weight, adapter_kind Kind, class T>
step_memory memory_of_step(const linear<Weight>& layer, const basic_adapter<Kind, T>& adapter, index_t tokens) {
  using result = std::conditional_t<std::is_void_v<Result>, T, Result>;
  const auto count = static_cast<std::size_t>(adapter.parameter_count());
  const auto rank = static_cast<std::size_t>(adapter.rank());
  const std::size_t kept = detail::saves_gathered(Kind) ? static_cast<std::size_t>(tokens) * rank : 0;
  return {layer.template workspace_bytes<result>(tokens, adapter), kept * sizeof(T),
          2 * count * sizeof(T) + 3 * rank * sizeof(index_t), 2 * count * sizeof(T),
          count * (Weight::writable ? sizeof(typename Weight::storage_scalar) : sizeof(T))};
}

}  // namespace sbora::inline SBORA_ABI
