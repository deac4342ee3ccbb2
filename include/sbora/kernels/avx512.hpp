#pragma once

#include <sbora/core/finite.hpp>
#include <sbora/core/random.hpp>
#include <sbora/kernels/families.hpp>
#include <sbora/simd/bytes_avx512.hpp>
#include <sbora/simd/tuning.hpp>

/// The kernels at the avx512 level.

#if defined(SBORA_HAS_AVX512)

SBORA_AVX512_BEGIN
namespace sbora::detail::avx512 {

// 24 of 32 registers are sums, 2 hold the panel; broadcasts are memory operands.
inline constexpr int tile_rows = 12;
inline constexpr int tile_vectors = 2;
// Strips that each panel of a group is multiplied with before the next one. One: a strip across the depth stays in the
// L1 cache while panels, too large to stay beside it, come from the L2 cache. (Zen 4: 97 GFLOP/s; 92 with 16.)
inline constexpr index_t group_strips = 1;
// How far ahead of the multiplications a strip is fetched: 1000 cycles. (Zen 5, 512 tokens, of the peak: 0.90 forward,
// 0.82 backward; 0.87 and 0.77 without.)
inline constexpr index_t strip_fetch_bytes = 4096;
inline constexpr bool fetches_results = false;  // see avx2.hpp; gains nothing here (Zen 5)
// Tokens that a streamed product does at a time, with four columns: sums, tokens and a column fit too.
inline constexpr int stream_tile_tokens = 6;
inline constexpr bool streams_steps = false;  // see avx2.hpp; not measured at this level
inline constexpr int axpy_depth = 8;
inline constexpr index_t region_ahead_bytes = 0;
template <class T>
inline constexpr index_t tile_columns = index_t{tile_vectors} * vec<T>::lanes;

#include <sbora/kernels/body/all.inl>
#include <sbora/kernels/body/pair_panels.inl>
#include <sbora/kernels/body/stream_four_bit.inl>

template <class T>
struct table<code_kernels<T>> {
  static constexpr code_kernels<T> entries = {
      .arrange = &arrange_for_codes<T>, .stream = &stream_codes<T>, .group = code_group};
};

}  // namespace sbora::detail::avx512
SBORA_AVX512_END

#endif  // SBORA_HAS_AVX512
