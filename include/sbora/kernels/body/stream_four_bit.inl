// Included once, inside the namespace and region of the avx512 level, after stream.inl. No include guard, no
// includes.
//
// Products of few tokens straight from 4-bit codes, 128 elements at a time: in a register of 64 bytes of codes,
// lane j of 16 holds elements 8j to 8j + 7, element 8j + (i ^ 1) in its nibble i, so that shifting by 4i and one
// look-up gives 16 values of known places, and the tokens are rearranged once instead. What the look-up doesn't
// need isn't masked away; scales are applied to sums of 128 products.

inline constexpr index_t code_group = 128;

/// The tokens in the order in which stream_codes meets their elements: each group of 128 by 16s,
/// row[16·i + j] being element 8j + (i ^ 1). In place; depth is a multiple of 128.
template <class T>
void arrange_for_codes(T* rows, index_t count) noexcept {
  for (index_t group = 0; group < count; group += code_group) {
    T* const row = rows + group;
    T before[code_group];
    for (index_t at = 0; at < code_group; ++at) before[at] = row[at];
    for (index_t i = 0; i < 8; ++i) {
      for (index_t j = 0; j < 16; ++j) row[16 * i + j] = before[8 * j + (i ^ 1)];
    }
  }
}

/// Elements whose scales are looked at together.
inline constexpr index_t code_chunk = 4096;

/// Scales of a group, 4 at most: of its blocks, or of the one that it is a part of.
SBORA_FORCE_INLINE index_t group_scales(const four_bit_source& source) noexcept {
  return source.block_shift < 7 ? code_group >> source.block_shift : 1;
}
inline constexpr index_t most_group_scales = 4;

/// Scales of some lines, group_scales of each group, `stride` from line to line.
struct scale_lines {
  const float* data;
  index_t stride;
};

/// The scales of `count` elements of each of `columns` lines, from element e on: the source's own where they lie like
/// that, else decoded into room.
SBORA_NO_INLINE inline scale_lines scales_from(const four_bit_source& source, index_t e, index_t columns, index_t count,
                                               float* room) noexcept {
  if (source.absmax_codes == nullptr && source.block_shift <= 7) {
    return {source.absmax + (e >> source.block_shift), source.line_length >> source.block_shift};
  }
  const reader<four_bit_source, float> from(source, 0, 0);
  const index_t elements = code_group / group_scales(source);
  float* next = room;
  for (index_t c = 0; c < columns; ++c, e += source.line_length) {
    for (index_t at = 0; at < count; at += elements) *next++ = from.scale(e + at);
  }
  return {room, count / elements};
}

/// One lane for every eight elements of a group: which of its scales, and which scales there are.
struct scale_spread {
  __m512i place;
  __mmask8 present;

  explicit SBORA_FORCE_INLINE scale_spread(index_t scales) noexcept {
    const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    place = scales == 1 ? _mm512_setzero_si512() : _mm512_srli_epi32(lane, scales == 2 ? 3U : 2U);
    present = static_cast<__mmask8>((1U << scales) - 1U);
  }

  SBORA_FORCE_INLINE __m512 operator()(const float* scales) const noexcept {
    return _mm512_permutexvar_ps(place, _mm512_castps128_ps512(_mm_maskz_loadu_ps(present, scales)));
  }
};

/// Fetches the scales of `count` elements from e on: a line of them lasts for a thousand elements, too long for the
/// hardware's prefetchers. (Zen 5, n = 1: 1.2 times.)
SBORA_FORCE_INLINE void fetch_scales(const four_bit_source& source, index_t e, index_t count) noexcept {
  const bool nested = source.absmax_codes != nullptr;
  const index_t size = nested ? 1 : static_cast<index_t>(sizeof(float));
  const char* const scales =
      nested ? reinterpret_cast<const char*>(source.absmax_codes) : reinterpret_cast<const char*>(source.absmax);
  const index_t end = ((e + count) >> source.block_shift) * size;
  for (index_t at = (e >> source.block_shift) * size; at < end; at += 64) __builtin_prefetch(scales + at);
}

/// A function of its own: inlined nine times into one, GCC 12 runs out of registers (0.8 of the speed).
template <int Columns, int Tokens>
SBORA_NO_INLINE void codes_tile(const stream_args<four_bit, float>& a, index_t column, index_t token) noexcept {
  const __m512 table = _mm512_loadu_ps(a.rhs.table);
  const index_t group_step = group_scales(a.rhs);
  const scale_spread spread(group_step);
  const auto line_bytes = static_cast<index_t>(static_cast<std::size_t>(a.rhs.line_length) / 2);
  // Ten lines, into the L1 cache. (Zen 5: six, with four columns, 0.99 of the speed; three 0.7; into the L2 cache
  // 0.97.)
  const index_t ahead = 10 * line_bytes;
  fetch_scales(a.rhs, (column + Columns) * a.rhs.line_length, Columns * a.rhs.line_length);
  __m512 total[Columns][Tokens];
  SBORA_UNROLL
  for (auto& row : total) {
    SBORA_UNROLL
    for (__m512& value : row) value = _mm512_setzero_ps();
  }
  const float* left = a.left + token * a.left_stride;
  const std::uint8_t* from = a.rhs.codes + column * line_bytes;
  for (index_t chunk = 0; chunk < a.depth; chunk += code_chunk) {
    const index_t depth = a.depth - chunk < code_chunk ? a.depth - chunk : code_chunk;
    float room[Columns * (code_chunk / code_group) * most_group_scales];
    const scale_lines scales = scales_from(a.rhs, column * a.rhs.line_length + chunk, Columns, depth, room);
    // Four lines to a pointer, as many as addresses reach without registers of their own. (Eight to one, Zen 5: 0.96.)
    constexpr int parts = Columns > 4 ? Columns / 4 : 1, part = Columns / parts;
    const std::uint8_t *here[parts], *coming[parts];
    const float* scales_here[parts];
    SBORA_UNROLL
    for (int p = 0; p < parts; ++p) {
      here[p] = from + p * part * line_bytes;
      coming[p] = here[p] + ahead;
      scales_here[p] = scales.data + p * part * scales.stride;
    }
    from += depth / 2;
    for (const float* const end = left + depth; left != end; left += code_group) {
      __m512i codes[Columns];
      __m512 sum[Columns][Tokens];
      SBORA_UNROLL
      for (int c = 0; c < Columns; ++c) {
        codes[c] = _mm512_loadu_si512(here[c / part] + c % part * line_bytes);
        __asm__("" : "+v"(codes[c]));  // not loaded anew for each shift while its line is on its way: 1.4 times
        __builtin_prefetch(coming[c / part] + c % part * line_bytes);
      }
      SBORA_UNROLL
      for (int i = 0; i < 8; ++i) {
        __m512 x[Tokens];
        SBORA_UNROLL
        for (int t = 0; t < Tokens; ++t) x[t] = _mm512_loadu_ps(left + t * a.left_stride + 16 * i);
        SBORA_UNROLL
        for (int c = 0; c < Columns; ++c) {
          const __m512i shifted = i == 0 ? codes[c] : _mm512_srli_epi32(codes[c], static_cast<unsigned>(4 * i));
          const __m512 w = _mm512_permutexvar_ps(shifted, table);
          SBORA_UNROLL
          for (int t = 0; t < Tokens; ++t) {
            sum[c][t] = i == 0 ? _mm512_mul_ps(w, x[t]) : _mm512_fmadd_ps(w, x[t], sum[c][t]);
          }
        }
      }
      SBORA_UNROLL
      for (int c = 0; c < Columns; ++c) {
        const __m512 scale = spread(scales_here[c / part] + c % part * scales.stride);
        SBORA_UNROLL
        for (int t = 0; t < Tokens; ++t) total[c][t] = _mm512_fmadd_ps(sum[c][t], scale, total[c][t]);
      }
      SBORA_UNROLL
      for (int p = 0; p < parts; ++p) {
        here[p] += code_group / 2;
        coming[p] += code_group / 2;
        scales_here[p] += group_step;
        __asm__("" : "+r"(here[p]), "+r"(coming[p]), "+r"(scales_here[p]));  // else GCC makes eight of each again
      }
    }
  }
  SBORA_UNROLL
  for (int t = 0; t < Tokens; ++t) {
    float* const out = a.out + (token + t) * a.out_stride + column;
    SBORA_UNROLL
    for (int c = 0; c < Columns; ++c) {
      const float before = a.accumulate ? out[c] : (a.bias != nullptr ? a.bias[column + c] : 0.0F);
      out[c] = before + opaque(a.alpha * sum(vec<float>{total[c][t]}));
    }
  }
}

/// As stream, of arranged tokens: where the depth runs along lines of a multiple of 128 elements. One token alone takes
/// eight columns at a time: the sums of four wait for themselves. (Zen 5: 35.7 to 37.2 GB/s.)
template <class T>
void stream_codes(const stream_args<four_bit, T>& a) noexcept {
  index_t column = a.column_begin;
  if (a.tokens == 1) {
    for (; column + 8 <= a.column_end; column += 8) codes_tile<8, 1>(a, column, 0);
  }
  for (; column + 4 <= a.column_end; column += 4) {
    index_t token = 0;
    for (; token + 3 <= a.tokens; token += 3) codes_tile<4, 3>(a, column, token);
    if (a.tokens - token == 2) codes_tile<4, 2>(a, column, token);
    else if (a.tokens - token == 1) codes_tile<4, 1>(a, column, token);
  }
  for (; column < a.column_end; ++column) {
    for (index_t token = 0; token < a.tokens; ++token) codes_tile<1, 1>(a, column, token);
  }
}
