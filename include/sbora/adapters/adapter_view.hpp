#pragma once

#include <cstdint>

#include <sbora/regions/region.hpp>
#include <sbora/simd/float16.hpp>

namespace sbora::inline SBORA_ABI {

/// fa: a region of columns, B (d_out × rank) trained.  fb: a region of rows, A (rank × d_in) trained.
enum class adapter_kind { fa, fb };

/// What a layer needs to know of an adapter. The adapters own it; see adapters/adapter.hpp.
///
/// Shapes      parameters and gradient: row-major d_out × rank (fa) or rank × d_in (fb).
/// Lifetime    points into the adapter.
template <adapter_kind Kind, class T>
struct adapter_view {
  const region* target;
  const T* parameters;
  T* gradient;
  index_t d_out;
  index_t d_in;
  T scale;
  bool enabled;
  double dropout;
  std::uint64_t dropout_seed;

  index_t rank() const noexcept { return target->rank(); }
};

}  // namespace sbora::inline SBORA_ABI
