// Included once, inside the namespace and region of the avx512 level, after product.inl. No include guard,
// no includes.

SBORA_FORCE_INLINE index_t pair_count(index_t depth) noexcept { return (depth + 1) / 2; }

/// To nearest even, in the upper halves; the lower ones are left as they come. No NaN.
SBORA_FORCE_INLINE __m512i rounded_up_halves(__m512i bits) noexcept {
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  return _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7FFF)));
}

/// A panel of floats as pairs. Rounds: where the floats aren't bf16 already.
template <bool Rounds>
SBORA_FORCE_INLINE void pair_up(const float* panel, index_t depth, bf16_pair* out) noexcept {
  constexpr index_t columns = tile_columns<float>;
  for (index_t k = 0; k < depth; k += 2) {
    for (index_t n = 0; n < columns; n += 16) {
      __m512i low = _mm512_castps_si512(_mm512_loadu_ps(panel + k * columns + n));
      __m512i high = k + 1 < depth ? _mm512_castps_si512(_mm512_loadu_ps(panel + (k + 1) * columns + n))
                                   : _mm512_setzero_si512();
      if constexpr (Rounds) {
        low = rounded_up_halves(low);
        high = rounded_up_halves(high);
      }
      const __m512i pairs = _mm512_or_si512(_mm512_srli_epi32(low, 16),
                                            _mm512_and_si512(high, _mm512_set1_epi32(-65536)));
      _mm512_storeu_si512(out + k / 2 * columns + n, pairs);
    }
  }
}

/// The left operand as pairs; layout as pack, with bf16_pair for two k and blocks of pair_panel_depth.
inline void pack_pairs(const pack_args<bf16_pair, bf16>& a) noexcept {
  const index_t strips = (a.rows + tile_rows - 1) / tile_rows;
  for (index_t strip = a.strip_begin; strip < a.strip_end; ++strip) {
    for (index_t k0 = 0; k0 < a.depth; k0 += pair_panel_depth) {
      const index_t depth = a.depth - k0 < pair_panel_depth ? a.depth - k0 : pair_panel_depth;
      const index_t steps = pair_count(depth);
      bf16_pair* SBORA_RESTRICT out = a.packed + (strips * pair_count(k0) + strip * steps) * tile_rows;
      for (index_t i = 0; i < tile_rows; ++i) {
        const index_t at = strip * tile_rows + i;
        if (at >= a.rows) {
          for (index_t k = 0; k < steps; ++k) out[k * tile_rows + i] = 0;
          continue;
        }
        const index_t row = a.row_index != nullptr ? a.row_index[at] : at;
        const bf16* SBORA_RESTRICT source = a.source + row * a.row_stride + k0 * a.depth_stride;
        for (index_t k = 0; k < steps; ++k) {
          const std::uint32_t low = source[2 * k * a.depth_stride].bits;
          const std::uint32_t high = 2 * k + 1 < depth ? source[(2 * k + 1) * a.depth_stride].bits : 0U;
          out[k * tile_rows + i] = low | high << 16;
        }
      }
    }
  }
}

/// How a product goes through the depth two k at a time, but for the instructions that need AVX512_BF16.
template <class Storage>
struct pair_panels {
  using packed = bf16_pair;
  static constexpr index_t block_depth = pair_panel_depth;
  static constexpr index_t panel_size = pair_panel_depth / 2 * tile_columns<float>;

  static SBORA_FORCE_INLINE index_t count(index_t depth) noexcept { return pair_count(depth); }

  static void fill(const product_args<Storage, float, bf16_pair>& a, index_t k, index_t depth, index_t n,
                   index_t n_valid, bf16_pair* panel) noexcept {
    constexpr index_t piece = 128;  // floats of 16 KiB, which stay in the L1 cache
    float floats[piece * tile_columns<float>];
    for (index_t at = 0; at < depth; at += piece) {
      const index_t here = depth - at < piece ? depth - at : piece;
      pack_updated(a, k + at, here, n, n_valid, floats);
      pair_up<!std::is_same_v<Storage, bf16>>(floats, here, panel + at / 2 * tile_columns<float>);
    }
  }
};
