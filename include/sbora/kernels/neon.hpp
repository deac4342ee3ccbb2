#pragma once

#include <sbora/core/finite.hpp>
#include <sbora/core/random.hpp>
#include <sbora/kernels/families.hpp>
#include <sbora/simd/bytes_neon.hpp>
#include <sbora/simd/tuning.hpp>

/// The kernels at the neon level.

#if defined(SBORA_NEON)

namespace sbora::inline SBORA_ABI::detail::neon {

// 24 of 32 registers are sums, 3 hold the panel, 2 the broadcasts.
inline constexpr int tile_rows = 8;
inline constexpr int tile_vectors = 3;
// Strips that each panel of a group is multiplied with before the next one: 384 KiB of those across the depth, for the
// L2 cache.
inline constexpr index_t group_strips = 24;
// How far ahead of the multiplications a strip is fetched; not measured at this level.
inline constexpr index_t strip_fetch_bytes = 0;
inline constexpr bool fetches_results = false;  // see avx2.hpp; not measured at this level
// Tokens that a streamed product does at a time, with four columns: sums, tokens and a column fit too.
inline constexpr int stream_tile_tokens = 4;
inline constexpr bool streams_steps = false;  // see avx2.hpp; not measured at this level
inline constexpr int axpy_depth = 8;
inline constexpr index_t region_ahead_bytes = 0;
template <class T>
inline constexpr index_t tile_columns = index_t{tile_vectors} * vec<T>::lanes;

#include <sbora/kernels/body/all.inl>

}  // namespace sbora::inline SBORA_ABI::detail::neon

#endif  // SBORA_NEON
