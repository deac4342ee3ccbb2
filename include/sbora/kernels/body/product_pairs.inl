// Included once, inside the namespace of the avx512 level and a region with AVX512_BF16. No include guard,
// no includes.
//
// bf16 by bf16, two k at a time: vdpbf16ps adds the products of pairs to float sums. It flushes denormals
// and rounds each of its two additions to nearest even, whatever MXCSR says.

/// sum_step and sum_tile (product.inl) of pairs, in this region.
template <int Rows>
SBORA_FORCE_INLINE void sum_pair_step(const bf16_pair* SBORA_RESTRICT& strip, const bf16_pair* SBORA_RESTRICT& panel,
                                      tile_sums<float, Rows>& sum) noexcept {
  __m512i right[tile_vectors];
  SBORA_UNROLL
  for (int n = 0; n < tile_vectors; ++n) right[n] = _mm512_loadu_si512(panel + n * 16);
  SBORA_UNROLL
  for (int i = 0; i < Rows; ++i) {
    const __m512i left = _mm512_set1_epi32(static_cast<int>(strip[i]));
    SBORA_UNROLL
    for (int n = 0; n < tile_vectors; ++n) {
      sum[i][n].v =
          _mm512_dpbf16_ps(sum[i][n].v, __builtin_bit_cast(__m512bh, left), __builtin_bit_cast(__m512bh, right[n]));
    }
  }
  fetch_strip(strip);
  strip += tile_rows;
  panel += tile_columns<float>;
}

template <int Rows>
SBORA_FORCE_INLINE void sum_pairs(const bf16_pair* SBORA_RESTRICT strip, const bf16_pair* SBORA_RESTRICT panel,
                                  index_t steps, const tile_fetch& fetch, tile_sums<float, Rows>& sum) noexcept {
  index_t k = 0;
  for (; k + slice_steps <= steps; k += slice_steps) {
    fetch.next.fetch(fetch.lines);
    SBORA_UNROLL_4
    for (index_t step = 0; step < slice_steps; ++step) sum_pair_step<Rows>(strip, panel, sum);
  }
  for (; k < steps; ++k) sum_pair_step<Rows>(strip, panel, sum);
}

/// tile_product of pairs.
struct pair_product {
  using product = pair_product;
  static constexpr int rows = tile_rows;
  static constexpr index_t panels = tile_product<float>::panels;

  template <int Rows>
  static void multiply(const bf16_pair* strip, const bf16_pair* panel, index_t depth, const tile_fetch& fetch,
                       const tile_result<float>& result) noexcept {
    tile_sums<float, Rows> sum;
    clear_tile<float, Rows>(sum);
    sum_pairs<Rows>(strip, panel, pair_count(depth), fetch, sum);
    store_tile<float, Rows>(result, sum);
  }
};

template <class Storage>
struct pair_steps : pair_panels<Storage>, pair_product {};

/// rhs with the updates, rounded to bf16: a panel of pairs holds nothing else. Updates of a bf16 weight have to
/// be `rounded`.
template <class Storage>
void product_pairs(const product_args<Storage, float, bf16_pair>& a) noexcept {
  product_by<pair_steps<Storage>>(a);
}
