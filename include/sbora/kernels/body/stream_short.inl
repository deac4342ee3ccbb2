// Included once per level, inside its namespace, after stream_one.inl. No include guard, no includes.
//
// One token against short lines, as those of an adapter's trained half are: as many lines at once as a vector has
// lanes, whose sums are so added up together, with the bits of dot_lines. (Granite Rapids, 32 adapters of 4096 lines of
// 8 to 64 elements, milliseconds at AVX-512: 2.1 from memory and 0.7 from the L2 cache, line by line 3.2 and 1.1. At
// AVX2 2.2 and 0.8, 3.0 and 1.1.)

/// Elements of a short line.
inline constexpr index_t stream_short_depth = 128;

template <class T>
using lane_sums = array_of<vec<T>, vec<T>::lanes>;

/// sums[i] += a vector of left·line i at k, k + step, … before `to`, the last of which may be cut there. The lines that
/// come next are fetched.
template <class T>
SBORA_NO_INLINE void add_lines(const reader<dense_source<T>, T>& rhs, const T* left, index_t k, index_t to,
                               index_t step, lane_sums<T>& sums) noexcept {
  using v = vec<T>;
  for (; k + v::lanes <= to; k += step) {
    const v x = v::load(left + k);
    SBORA_UNROLL
    for (int i = 0; i < v::lanes; ++i) {
      rhs.fetch(v::lanes + i, k);
      sums[i] = multiply_add(x, rhs.load(i, k), sums[i]);
    }
  }
  if (k >= to) return;
  const v x = v::load_n(left + k, to - k);
  SBORA_UNROLL
  for (int i = 0; i < v::lanes; ++i) {
    rhs.fetch(v::lanes + i, k);
    sums[i] = multiply_add(x, rhs.load_n(i, k, to - k), sums[i]);
  }
}

/// Lane i is the sum of left·line i, of four sums as add_line's.
template <class T>
SBORA_FORCE_INLINE vec<T> dot_short_lines(const reader<dense_source<T>, T>& rhs, const T* left,
                                          index_t depth) noexcept {
  using v = vec<T>;
  constexpr index_t step = 4 * v::lanes;
  const index_t fours = depth / step * step;
  lane_sums<T> total;
  for (v& sum : total) sum = v::zero();
  add_lines<T>(rhs, left, 0, fours, step, total);
  add_lines<T>(rhs, left, fours, depth, v::lanes, total);
  array_of<lane_sums<T>, 3> others;
  if (fours > 0) {
    for (int part = 0; part < 3; ++part) {
      for (v& sum : others[part]) sum = v::zero();
      add_lines<T>(rhs, left, (part + 1) * v::lanes, fours, step, others[part]);
    }
    for (int i = 0; i < v::lanes; ++i) total[i] = (total[i] + others[0][i]) + (others[1][i] + others[2][i]);
  } else {
    for (int i = 0; i < v::lanes; ++i) total[i] = total[i] + v::zero();  // as of four sums: -0 becomes 0
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
