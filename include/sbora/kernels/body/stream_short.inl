// Included once per level, inside its namespace, after stream_one.inl. No include guard, no includes.
//
// One token against lines of at most stream_piece elements, as those of an adapter's trained half are: as many lines at
// once as a vector has lanes, whose sums are so added up together, with the bits of dot_lines. (Granite Rapids, 32
// adapters of 4096 lines of 8 to 64 elements, milliseconds at AVX-512: 1.9 from memory and 0.45 from the L2 cache, line
// by line 3.2 and 1.1. At AVX2 2.1 and 0.48, 3.0 and 1.1.)

template <class T>
using lane_sums = array_of<vec<T>, vec<T>::lanes>;

template <class T>
SBORA_FORCE_INLINE void clear_sums(lane_sums<T>& sums) noexcept {
  SBORA_UNROLL
  for (int i = 0; i < vec<T>::lanes; ++i) sums[i] = vec<T>::zero();
}

/// sums[i] += a vector of left·line i at k, k + step, … while it is whole before `to`. Returns the first k that isn't.
/// The lines that come next are fetched.
template <class T>
SBORA_FORCE_INLINE index_t add_lines(const reader<dense_source<T>, T>& rhs, const T* left, index_t k, index_t to,
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
  return k;
}

/// Lane i is the sum of left·line i, of four sums as add_line's.
template <class T>
SBORA_FORCE_INLINE vec<T> dot_short_lines(const reader<dense_source<T>, T>& rhs, const T* left,
                                          index_t depth) noexcept {
  using v = vec<T>;
  constexpr index_t step = 4 * v::lanes;
  const index_t fours = depth / step * step;
  lane_sums<T> total, second, third;
  clear_sums<T>(total);
  clear_sums<T>(second);
  add_lines(rhs, left, 0, fours, step, total);
  const index_t k = add_lines(rhs, left, fours, depth, v::lanes, total);
  if (k < depth) {
    const v x = v::load_n(left + k, depth - k);
    SBORA_UNROLL
    for (int i = 0; i < v::lanes; ++i) {
      rhs.fetch(v::lanes + i, k);
      total[i] = multiply_add(x, rhs.load_n(i, k, depth - k), total[i]);
    }
  }
  if (fours > 0) {
    add_lines(rhs, left, v::lanes, fours, step, second);
    for (int i = 0; i < v::lanes; ++i) total[i] = total[i] + second[i];
    clear_sums<T>(second);
    clear_sums<T>(third);
    add_lines(rhs, left, 2 * v::lanes, fours, step, second);
    add_lines(rhs, left, 3 * v::lanes, fours, step, third);
    for (int i = 0; i < v::lanes; ++i) second[i] = second[i] + third[i];
  }
  SBORA_UNROLL
  for (int i = 0; i < v::lanes; ++i) total[i] = total[i] + second[i];  // of zeros too: -0 becomes 0
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
