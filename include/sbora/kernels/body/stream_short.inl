// Included once per level, inside its namespace, after stream_one.inl. No include guard, no includes.
//
// One token against short lines, as those of an adapter's trained half are: as many lines as a vector has lanes, whose
// sums' lanes are then added up together, with the bits of dot_lines. (AVX2, Zen 3, 4096 lines, GB/s from the L2 cache
// and from memory: 16 elements 14, 13, 36 elements 24, 18, 64 elements 41, 17; the lines' parts in turn 15, 12, 16, 13,
// 15, 12. Unrolled, the loop over lines takes up to twice as long.)

/// Elements of a short line.
inline constexpr index_t stream_short_depth = 128;

template <class T>
using lane_sums = array_of<vec<T>, vec<T>::lanes>;

/// Lane i is the sum of left·line i, of four sums as add_line's. The lines that come next are fetched.
template <class T>
SBORA_FORCE_INLINE vec<T> dot_short_lines(const reader<dense_source<T>, T>& rhs, const T* left,
                                          index_t depth) noexcept {
  using v = vec<T>;
  lane_sums<T> total;
  for (int i = 0; i < v::lanes; ++i) {
    for (index_t k = 0; k < depth; k += reader<dense_source<T>, T>::cache_line_elements) rhs.fetch(v::lanes + i, k);
    line_sums<T> sums;
    SBORA_UNROLL
    for (v& sum : sums) sum = v::zero();
    add_line(rhs, i, 0, depth, left, sums);
    total[i] = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  }
  transpose(total);
  SBORA_UNROLL
  for (int half = v::lanes / 2; half > 0; half /= 2) {
    SBORA_UNROLL
    for (int i = 0; i < half; ++i) total[i] = total[i] + total[i + half];
  }
  return total[0];
}

template <class T>
SBORA_NO_INLINE void stream_short(stream_args<T, T> a) noexcept {
  using v = vec<T>;
  for (; a.column_begin + v::lanes <= a.column_end; a.column_begin += v::lanes) {
    const index_t column = a.column_begin;
    const v total = dot_short_lines<T>(reader<dense_source<T>, T>(a.rhs, column, 0), a.left, a.depth);
    const v before =
        a.accumulate ? v::load(a.out + column) : (a.bias != nullptr ? v::load(a.bias + column) : v::zero());
    v::store(a.out + column, before + round_product(v::set1(a.alpha), total));
  }
  stream_one(a);
}
