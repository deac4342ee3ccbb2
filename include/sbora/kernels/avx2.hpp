#pragma once

#include <sbora/core/finite.hpp>
#include <sbora/core/random.hpp>
#include <sbora/kernels/families.hpp>
#include <sbora/simd/bytes_avx2.hpp>
#include <sbora/simd/tuning.hpp>

/// The kernels at the avx2 level.

#if defined(SBORA_HAS_AVX2)

SBORA_AVX2_BEGIN
namespace sbora::detail::avx2 {

// 12 of 16 registers are sums, 2 hold the panel, 1 the broadcast.
inline constexpr int tile_rows = 6;
inline constexpr int tile_vectors = 2;
// Strips that each panel of a group is multiplied with before the next one: 384 KiB of those across the depth, which
// stay in the L2 cache while the panel, 32 KiB, stays in the L1 cache. (Zen 4 at this level: 91 GFLOP/s; 87 with one.)
inline constexpr index_t group_strips = 32;
// How far ahead of the multiplications a strip is fetched. (Zen 5 at this level, 512 tokens, of its peak: 0.97 forward,
// 0.91 backward; 0.94 and 0.86 without.)
inline constexpr index_t strip_fetch_bytes = 4096;
// A tile's results are fetched before its sums, so that they needn't be waited for after. (Zen 1: 1.04 times as fast at
// 64 tokens, 1.01 to 1.04 at 512.)
inline constexpr bool fetches_results = true;
// Tokens that a streamed product does at a time, with four columns: sums, tokens and a column fit too.
inline constexpr int stream_tile_tokens = 3;
// One token takes a step of each line in turn, not 128 elements. (Zen 3, 4 KiB pages, of a pass that only reads, by
// steps and not: f32 1.04 and 0.72, bf16 0.94 and 0.70, f16 0.93 and 0.74.)
inline constexpr bool streams_steps = true;
// Rows that are added up together where lines run across the depth. (Zen 3, of a pass that only reads, one and three
// tokens: f32 1.00 and 0.91, bf16 0.89 and 0.64; eight, of one set of the L1 cache, 0.95 and 0.82, 0.76 and 0.55.)
inline constexpr int axpy_depth = 4;
// How far ahead runs that are merged are fetched; 0: not. (Zen 3, FB, of memcpy, best of runs: 0.89, 256 bytes 0.92,
// not 0.84; medians 0.88, 0.89, 0.86; 2 KiB 0.76.)
inline constexpr index_t region_ahead_bytes = 512;
template <class T>
inline constexpr index_t tile_columns = index_t{tile_vectors} * vec<T>::lanes;

#include <sbora/kernels/body/all.inl>

}  // namespace sbora::detail::avx2
SBORA_AVX2_END

#endif  // SBORA_HAS_AVX2
