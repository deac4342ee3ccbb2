#pragma once

#include <vector>

#include <sbora/adapters/region_geometry.hpp>
#include <sbora/regions/region.hpp>

namespace sbora::inline SBORA_ABI {

/// Any adapter's ΔW by reference, of either kind: what layers, overlays and mergers take. Made by adapter.delta().
///
/// Shapes      parameters and gradient: row-major d_out × rank (fa) or rank × d_in (fb); of a transposed one, their
///             transposes.
/// Lifetime    points into the adapter.
template <class T>
struct weight_delta {
  adapter_kind kind;
  const region* target;
  const T* parameters;
  T* gradient;  ///< null: for inference
  index_t d_out;
  index_t d_in;
  T scale;
  bool enabled;
  double dropout;  ///< of a training forward
  std::uint64_t dropout_seed;
  bool transposed = false;       ///< the trained half lies as that of the other kind: see transposed.hpp
  bool batch_invariant = false;  ///< a token's part has the same bits in any batch: see linear::set_batch_invariant

  index_t rank() const noexcept { return target->rank(); }
  detail::region_geometry geometry() const noexcept { return {kind, d_out, d_in, rank(), transposed}; }
};

/// Several, as an overlay keeps what is merged.
template <class T>
using delta_list = std::vector<weight_delta<T>>;

}  // namespace sbora::inline SBORA_ABI
