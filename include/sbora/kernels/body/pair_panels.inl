// Included once, inside the namespace and region of the avx512 level, after product.inl. No include guard,
// no includes.

constexpr index_t pair_count(index_t depth) noexcept { return (depth + 1) / 2; }

/// To nearest even, in the upper halves; the lower ones are left as they come. A NaN becomes a quiet one: updates can
/// bring it.
SBORA_FORCE_INLINE __m512i rounded_up_halves(__m512i bits) noexcept {
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7FFF)));
  const __m512i magnitude = _mm512_and_si512(bits, _mm512_set1_epi32(0x7FFFFFFF));
  const __mmask16 is_nan = _mm512_cmpgt_epi32_mask(magnitude, _mm512_set1_epi32(0x7F800000));
  return _mm512_mask_or_epi32(rounded, is_nan, bits, _mm512_set1_epi32(0x400000));
}

/// A panel of floats as pairs. Rounds: where the floats aren't bf16 already.
template <bool Rounds>
SBORA_FORCE_INLINE void pair_up(const float* panel, index_t depth, bf16_pair* out) noexcept {
  constexpr index_t columns = tile_columns<float>;
  for (index_t k = 0; k < depth; k += 2) {
    for (index_t n = 0; n < columns; n += 16) {
      __m512i low = _mm512_castps_si512(_mm512_loadu_ps(panel + k * columns + n));
      __m512i high =
          k + 1 < depth ? _mm512_castps_si512(_mm512_loadu_ps(panel + (k + 1) * columns + n)) : _mm512_setzero_si512();
      if constexpr (Rounds) {
        low = rounded_up_halves(low);
        high = rounded_up_halves(high);
      }
      const __m512i pairs =
          _mm512_or_si512(_mm512_srli_epi32(low, 16), _mm512_and_si512(high, _mm512_set1_epi32(-65536)));
      _mm512_storeu_si512(out + k / 2 * columns + n, pairs);
    }
  }
}

/// One strip of rows that are contiguous in k as pairs, transposed in registers: see pack_rows. Returns how many pairs
/// of each row, a multiple of 16.
SBORA_FORCE_INLINE index_t pack_pair_rows(const pack_args<bf16_pair, bf16>& a, index_t first, index_t k0, index_t depth,
                                          bf16_pair* SBORA_RESTRICT out) noexcept {
  constexpr auto kept = static_cast<__mmask16>((1U << tile_rows) - 1U);
  index_t k = 0;
  for (; 2 * k + 32 <= depth; k += 16) {
    vec<float> block[16];
    SBORA_UNROLL
    for (int i = 0; i < 16; ++i) {
      block[i] = vec<float>::zero();
      if (i >= tile_rows || first + i >= a.rows) continue;
      block[i].v = _mm512_castsi512_ps(_mm512_loadu_si512(a.source + (first + i) * a.row_stride + k0 + 2 * k));
    }
    transpose(block);
    SBORA_UNROLL
    for (int i = 0; i < 16; ++i) {
      _mm512_mask_storeu_epi32(out + (k + i) * tile_rows, kept, _mm512_castps_si512(block[i].v));
    }
  }
  return k;
}

/// The left operand as pairs; layout as pack, with bf16_pair for two k and blocks of pair_panel_depth.
inline void pack_pairs(const pack_args<bf16_pair, bf16>& a) noexcept {
  const index_t strips = ceil_div(a.rows, tile_rows), block_depth = pair_panel_depth(a.depth_along_lines);
  for (index_t strip = a.strip_begin; strip < a.strip_end; ++strip) {
    for (index_t k0 = 0; k0 < a.depth; k0 += block_depth) {
      const index_t depth = a.depth - k0 < block_depth ? a.depth - k0 : block_depth;
      const index_t steps = pair_count(depth);
      bf16_pair* SBORA_RESTRICT out = a.packed + (strips * pair_count(k0) + strip * steps) * tile_rows;
      index_t done = 0;  // pairs
      if (a.depth_stride == 1 && a.row_index == nullptr) done = pack_pair_rows(a, strip * tile_rows, k0, depth, out);
      for (index_t i = 0; i < tile_rows; ++i) {
        const index_t at = strip * tile_rows + i;
        if (at >= a.rows) {
          for (index_t k = done; k < steps; ++k) out[k * tile_rows + i] = 0;
          continue;
        }
        const index_t row = a.row_index != nullptr ? a.row_index[at] : at;
        const bf16* SBORA_RESTRICT source = a.source + row * a.row_stride + k0 * a.depth_stride;
        for (index_t k = done; k < steps; ++k) {
          const std::uint32_t low = source[2 * k * a.depth_stride].bits;
          const std::uint32_t high = 2 * k + 1 < depth ? source[(2 * k + 1) * a.depth_stride].bits : 0U;
          out[k * tile_rows + i] = low | high << 16;
        }
      }
    }
  }
}

/// A panel's pairs where lines run along the depth: two elements of a line are one already. Returns how deep it
/// came, a multiple of 32.
SBORA_FORCE_INLINE index_t copy_pairs_along(const dense_source<bf16>& source, index_t line, index_t at, index_t depth,
                                            bf16_pair* SBORA_RESTRICT out) noexcept {
  constexpr index_t columns = tile_columns<float>;
  index_t k = 0;
  for (; k + 32 <= depth; k += 32) {
    SBORA_UNROLL
    for (index_t n = 0; n < columns; n += 16) {
      vec<float> block[16];
      SBORA_UNROLL
      for (int i = 0; i < 16; ++i) {
        const bf16* const from = source.data + (line + n + i) * source.stride + at + k;
        block[i].v = _mm512_castsi512_ps(_mm512_loadu_si512(from));
      }
      transpose(block);
      SBORA_UNROLL
      for (int i = 0; i < 16; ++i) {
        _mm512_storeu_si512(out + (k / 2 + i) * columns + n, _mm512_castps_si512(block[i].v));
      }
    }
  }
  return k;
}

/// The same where lines run along the columns: two lines, interleaved. Returns a multiple of 2.
SBORA_FORCE_INLINE index_t copy_pairs_across(const dense_source<bf16>& source, index_t line, index_t at, index_t depth,
                                             bf16_pair* SBORA_RESTRICT out) noexcept {
  static_assert(tile_columns<float> == 32, "one vector of bf16");
  alignas(64) std::uint16_t places[2][32];
  for (unsigned i = 0; i < 32; ++i) {
    places[0][i] = static_cast<std::uint16_t>(i / 2 + (i & 1U) * 32);
    places[1][i] = static_cast<std::uint16_t>(places[0][i] + 16);
  }
  const __m512i first = _mm512_load_si512(places[0]), second = _mm512_load_si512(places[1]);
  index_t k = 0;
  for (; k + 2 <= depth; k += 2) {
    const bf16* const from = source.data + (line + k) * source.stride + at;
    const __m512i low = _mm512_loadu_si512(from), high = _mm512_loadu_si512(from + source.stride);
    _mm512_storeu_si512(out + k / 2 * 32, _mm512_permutex2var_epi16(low, first, high));
    _mm512_storeu_si512(out + k / 2 * 32 + 16, _mm512_permutex2var_epi16(low, second, high));
  }
  return k;
}

/// How a product goes through the depth two k at a time, but for the instructions that need AVX512_BF16.
template <class Storage>
struct pair_panels {
  using packed = bf16_pair;

  static constexpr index_t block_depth(bool depth_along_lines) noexcept { return pair_panel_depth(depth_along_lines); }
  static constexpr index_t count(index_t depth) noexcept { return pair_count(depth); }
  static constexpr index_t room = pair_count(pair_panel_depth(true)) * tile_columns<float>;

  static void fill(const product_args<Storage, float, bf16_pair>& a, const right_place<Storage, float>& from, index_t k,
                   index_t depth, index_t n, index_t n_valid, bf16_pair* panel) noexcept {
    constexpr index_t columns = tile_columns<float>;
    constexpr index_t piece = 64;  // floats of 8 KiB, which stay in the L1 cache
    index_t at = 0;
    if constexpr (std::is_same_v<Storage, bf16>) {
      if (a.update_count == 0 && n_valid == columns) {
        at = from.depth_along_lines ? copy_pairs_along(from.source, n - from.n0, k - from.k0, depth, panel)
                                    : copy_pairs_across(from.source, k - from.k0, n - from.n0, depth, panel);
      }
    }
    array_of<float, piece * columns> floats;
    for (; at < depth; at += piece) {
      const index_t here = depth - at < piece ? depth - at : piece;
      pack_updated(a, from, k + at, here, n, n_valid, floats);
      pair_up<!std::is_same_v<Storage, bf16>>(floats, here, panel + at / 2 * columns);
    }
  }
};
