// Included once, inside the namespace of the avx512 level and a region with AVX512_BF16. No include guard,
// no includes.
//
// bf16 by bf16, two k at a time: vdpbf16ps adds the products of pairs to float sums. It flushes denormals
// and rounds each of its two additions to nearest even, whatever MXCSR says.

/// sum[i][n] = Σ over pairs for one tile.
SBORA_FORCE_INLINE void sum_pairs(const bf16_pair* SBORA_RESTRICT strip,
                                  const float* SBORA_RESTRICT panel, index_t steps,
                                  vec<float> (&sum)[tile_rows][tile_vectors]) noexcept {
  SBORA_UNROLL
  for (int i = 0; i < tile_rows; ++i) {
    SBORA_UNROLL
    for (int n = 0; n < tile_vectors; ++n) sum[i][n] = vec<float>::zero();
  }
  SBORA_UNROLL_4
  for (index_t k = 0; k < steps; ++k) {
    __m512i right[tile_vectors];
    SBORA_UNROLL
    for (int n = 0; n < tile_vectors; ++n) right[n] = _mm512_loadu_si512(panel + n * 16);
    SBORA_UNROLL
    for (int i = 0; i < tile_rows; ++i) {
      const __m512i left = _mm512_set1_epi32(static_cast<int>(strip[i]));
      SBORA_UNROLL
      for (int n = 0; n < tile_vectors; ++n) {
        sum[i][n].v = _mm512_dpbf16_ps(sum[i][n].v, __builtin_bit_cast(__m512bh, left),
                                       __builtin_bit_cast(__m512bh, right[n]));
      }
    }
    strip += tile_rows;
    panel += tile_columns<float>;
  }
}

/// As single_steps::multiply.
inline void multiply_pairs(const bf16_pair* strip, index_t strips, const float* panel, index_t depth,
                           tile_result<float> result, line_prefetch& next, index_t next_lines) noexcept {
  const index_t steps = pair_steps::count(depth);
  for (index_t done = 0; done < strips; ++done) {
    next.fetch(next_lines);
    vec<float> sum[tile_rows][tile_vectors];
    sum_pairs(strip, panel, steps, sum);
    store_tile<float>(result, sum);
    strip += tile_rows * steps;
    result.out += tile_rows * result.stride;
    result.rows -= tile_rows;
  }
}

/// rhs with the updates, which have to be `rounded`: a panel of pairs holds bf16 only.
inline void product_pairs(const product_args<bf16, float, bf16_pair>& a) noexcept {
  product_by<pair_steps>(a, &multiply_pairs);
}
