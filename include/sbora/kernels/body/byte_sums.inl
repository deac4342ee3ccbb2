// Included once for each of a level's byte_dot, inside its namespace, after byte_rows.inl and product.inl. No include
// guard, no includes.
//
// Products of activations as bytes with codes of 4 or 8 bits. A sum is
//   Σ over groups of 64, in ascending order, of the weight's scale · (Σ over its two blocks, in ascending order, of
//   the activations' scale · Σ of 32 products of integers),
// each product of floats but the first block's fused with the addition of what came before it, and cut at multiples of
// byte_panel_depth. The sums of integers are exact, so all levels, and both kernels, give the same bits.

/// What both kernels need besides their sums.
template <class Storage>
struct byte_sums {
  using v = vec<float>;
  using weight = byte_weight<Storage>;

  /// scales[group·width + i]: of line + i, of groups of `depth` elements from k on.
  static SBORA_NO_INLINE void scales_of(const source_of<Storage>& source, index_t line, index_t last_line,
                                        index_t width, index_t k, index_t depth, float* scales) noexcept {
    const index_t groups = depth / byte_group;
    for (index_t n = 0; n < width; n += v::lanes) {
      alignas(64) array_of<float, v::lanes * byte_scales> room;
      const float* from[v::lanes];
      for (index_t i = 0; i < v::lanes; ++i) {
        const index_t its = line + n + i < last_line ? line + n + i : last_line;
        from[i] = weight::scales(source, its, k, groups, room + i * byte_scales);
        weight::fetch_scales(source, its + width, k, groups);
      }
      for (index_t at = 0; at < groups; at += v::lanes) {
        const index_t here = groups - at < v::lanes ? groups - at : index_t{v::lanes};
        v block[v::lanes];
        if (here == v::lanes) {
          SBORA_UNROLL
          for (int i = 0; i < v::lanes; ++i) block[i] = v::load(from[i] + at);
        } else {
          for (index_t i = 0; i < v::lanes; ++i) block[i] = v::load_n(from[i] + at, here);
        }
        transpose(block);
        for (index_t i = 0; i < here; ++i) v::store(scales + (at + i) * width + n, block[i]);
      }
    }
  }

  /// Sums of some rows, `width` of each, to their part of out.
  static SBORA_FORCE_INLINE void store(const byte_product_args<Storage>& a, index_t row_at, index_t rows,
                                       index_t column, index_t wide, index_t k, float* sums, index_t width) noexcept {
    const v alpha = v::set1(a.alpha);
    for (index_t i = 0; i < rows * width; i += v::lanes) {
      v::store(sums + i, round_product(v::load(sums + i), alpha));
    }
    store_sums<float>({a.out + row_at * a.out_stride + column, a.out_stride, rows, wide, 1.0F,
                       a.bias != nullptr ? a.bias + column : nullptr, a.accumulate || k > 0},
                      sums, rows, width);
  }
};
