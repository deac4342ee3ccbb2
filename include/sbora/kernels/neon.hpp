#pragma once

#include <sbora/config/random.hpp>
#include <sbora/kernels/table.hpp>
#include <sbora/simd/vec_neon.hpp>

/// The kernels at the neon level.

#if defined(SBORA_NEON)

namespace sbora::inline SBORA_ABI::detail::neon {

// 24 of 32 registers are sums, 3 hold the panel, 2 the broadcasts.
inline constexpr int tile_rows = 8;
inline constexpr int tile_vectors = 3;

#include <sbora/kernels/body/gather_scatter.inl>
#include <sbora/kernels/body/convert.inl>
#include <sbora/kernels/body/region.inl>
#include <sbora/kernels/body/optimiser.inl>
#include <sbora/kernels/body/product.inl>
#include <sbora/kernels/body/table.inl>

}  // namespace sbora::inline SBORA_ABI::detail::neon

#endif  // SBORA_NEON
