// Included once, inside the namespace and region of the avx512 level, after product.inl. No include guard,
// no includes.

/// A product that goes through the depth two k at a time.
struct pair_steps {
  using packed = bf16_pair;

  static SBORA_FORCE_INLINE index_t count(index_t depth) noexcept { return (depth + 1) / 2; }

  /// A panel of floats that are bf16 becomes one of pairs, in place.
  static SBORA_FORCE_INLINE void prepare(float* panel, index_t depth) noexcept {
    constexpr index_t columns = tile_columns<float>;
    for (index_t k = 0; k < depth; k += 2) {
      for (index_t n = 0; n < columns; n += 16) {
        const __m512i low = _mm512_castps_si512(_mm512_loadu_ps(panel + k * columns + n));
        const __m512i high = k + 1 < depth
                                 ? _mm512_castps_si512(_mm512_loadu_ps(panel + (k + 1) * columns + n))
                                 : _mm512_setzero_si512();
        const __m512i pairs = _mm512_or_si512(
            _mm512_srli_epi32(low, 16), _mm512_and_si512(high, _mm512_set1_epi32(-65536)));
        _mm512_storeu_si512(panel + k / 2 * columns + n, pairs);
      }
    }
  }
};

/// The left operand as pairs; layout as pack, with bf16_pair for two k.
inline void pack_pairs(const pack_args<bf16_pair, bf16>& a) noexcept {
  const index_t strips = (a.rows + tile_rows - 1) / tile_rows;
  for (index_t strip = a.strip_begin; strip < a.strip_end; ++strip) {
    for (index_t k0 = 0; k0 < a.depth; k0 += panel_depth) {
      const index_t depth = a.depth - k0 < panel_depth ? a.depth - k0 : panel_depth;
      const index_t steps = pair_steps::count(depth);
      bf16_pair* SBORA_RESTRICT out =
          a.packed + (strips * pair_steps::count(k0) + strip * steps) * tile_rows;
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
