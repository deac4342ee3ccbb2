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

/// The scales of 128 elements from e on, one lane for every eight; e is a multiple of 128.
template <int BlockShift>
SBORA_FORCE_INLINE __m512 scales_of_group(const four_bit_source& source, index_t e) noexcept {
  constexpr int count = BlockShift < 7 ? code_group >> BlockShift : 1;
  const index_t block = e >> source.block_shift;
  const float* absmax = source.absmax + block;
  float decoded[count];
  if (source.absmax_codes != nullptr) {
    const reader<four_bit_source, float> from(source, 0, 0);
    for (int b = 0; b < count; ++b) decoded[b] = from.scale(e + (index_t{b} << BlockShift));
    absmax = decoded;
  }
  if constexpr (count == 1) {
    return _mm512_set1_ps(*absmax);
  } else {
    const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    double two;  // two floats, of four at most, in one load
    __builtin_memcpy(&two, absmax, sizeof two);
    __m128 scales = _mm_castpd_ps(_mm_set_sd(two));
    if constexpr (count == 4) scales = _mm_loadu_ps(absmax);
    return _mm512_permutexvar_ps(_mm512_srli_epi32(lane, BlockShift - 3), _mm512_castps128_ps512(scales));
  }
}

template <int BlockShift, int Columns, int Tokens>
SBORA_FORCE_INLINE void codes_tile(const stream_args<four_bit, float>& a, index_t column, index_t token) noexcept {
  const __m512 table = _mm512_loadu_ps(a.rhs.table);
  const float* const left = a.left + token * a.left_stride;
  // Eight lines: 13.5 GB/s on Zen 4, 12.8 fetched into other caches, 10.8 left to the hardware.
  const index_t ahead = 8 * a.rhs.line_length / 2;
  __m512 total[Columns][Tokens];
  SBORA_UNROLL
  for (auto& row : total) {
    SBORA_UNROLL
    for (__m512& value : row) value = _mm512_setzero_ps();
  }
  for (index_t k = 0; k < a.depth; k += code_group) {
    __m512i codes[Columns];
    __m512 sum[Columns][Tokens];
    SBORA_UNROLL
    for (int c = 0; c < Columns; ++c) {
      const std::uint8_t* const from = a.rhs.codes + ((column + c) * a.rhs.line_length + k) / 2;
      codes[c] = _mm512_loadu_si512(from);
      __builtin_prefetch(from + ahead, 0, 2);
    }
    SBORA_UNROLL
    for (int i = 0; i < 8; i += 2) {
      SBORA_UNROLL
      for (int c = 0; c < Columns; ++c) {
        const __m512i even = i == 0 ? codes[c] : _mm512_srli_epi32(codes[c], static_cast<unsigned>(4 * i));
        const __m512i odd = _mm512_srli_epi32(even, 4);
        const __m512 w0 = _mm512_permutexvar_ps(even, table), w1 = _mm512_permutexvar_ps(odd, table);
        SBORA_UNROLL
        for (int t = 0; t < Tokens; ++t) {
          const float* const x = left + t * a.left_stride + k + 16 * i;
          const __m512 x0 = _mm512_loadu_ps(x), x1 = _mm512_loadu_ps(x + 16);
          sum[c][t] = i == 0 ? _mm512_mul_ps(w0, x0) : _mm512_fmadd_ps(w0, x0, sum[c][t]);
          sum[c][t] = _mm512_fmadd_ps(w1, x1, sum[c][t]);
        }
      }
    }
    SBORA_UNROLL
    for (int c = 0; c < Columns; ++c) {
      const __m512 scales = scales_of_group<BlockShift>(a.rhs, (column + c) * a.rhs.line_length + k);
      SBORA_UNROLL
      for (int t = 0; t < Tokens; ++t) total[c][t] = _mm512_fmadd_ps(sum[c][t], scales, total[c][t]);
    }
  }
  SBORA_UNROLL
  for (int t = 0; t < Tokens; ++t) {
    float* const out = a.out + (token + t) * a.out_stride + column;
    SBORA_UNROLL
    for (int c = 0; c < Columns; ++c) {
      const float before = a.accumulate ? out[c] : (a.bias != nullptr ? a.bias[column + c] : 0.0F);
      out[c] = before + opaque(a.alpha * _mm512_reduce_add_ps(total[c][t]));
    }
  }
}

template <int BlockShift, int Columns>
SBORA_FORCE_INLINE void codes_tokens(const stream_args<four_bit, float>& a, index_t column) noexcept {
  index_t token = 0;
  for (; token + 3 <= a.tokens; token += 3) codes_tile<BlockShift, Columns, 3>(a, column, token);
  if (a.tokens - token == 2) codes_tile<BlockShift, Columns, 2>(a, column, token);
  else if (a.tokens - token == 1) codes_tile<BlockShift, Columns, 1>(a, column, token);
}

template <int BlockShift>
void stream_codes_by(const stream_args<four_bit, float>& a) noexcept {
  index_t column = a.column_begin;
  for (; column + 4 <= a.column_end; column += 4) codes_tokens<BlockShift, 4>(a, column);
  for (; column < a.column_end; ++column) codes_tokens<BlockShift, 1>(a, column);
}

/// As stream, of arranged tokens: where the depth runs along lines of a multiple of 128 elements.
template <class T>
void stream_codes(const stream_args<four_bit, T>& a) noexcept {
  if (a.rhs.block_shift == 5) stream_codes_by<5>(a);
  else if (a.rhs.block_shift == 6) stream_codes_by<6>(a);
  else stream_codes_by<7>(a);
}
