// Included once per level, inside its namespace, after readers.inl. No include guard, no includes.

/// One block to codes; see quantise_args. Nothing is written where a value isn't finite.
template <class T>
index_t quantise_four_bit(const quantise_args& a) noexcept {
  using v = vec<T>;
  v greatest = v::zero();
  bool finite = true;
  for (index_t i = 0; i < a.count; i += v::lanes) {
    const v x = v::load(a.values + i);
    finite &= v::all_finite(x);
    greatest = max_abs(greatest, x);
  }
  if (!finite) {
    for (index_t i = 0; i < a.count; ++i) {
      if ((float_bits(a.values[i]) & 0x7F800000U) == 0x7F800000U) return i;
    }
  }
  float lane[v::lanes];
  v::store(lane, greatest);
  float absmax = lane[0];
  for (const float value : lane) absmax = value > absmax ? value : absmax;
  const float least = 1e-38F;
  const float divisor = absmax > least ? absmax : least;
  *a.absmax = a.ragged ? divisor : absmax;
  const v scale = v::set1(a.ragged ? divisor : 1.0F / divisor);
  const index_t nibbles = (a.count + 1) / 2 * 2;
  for (index_t i = 0; i < nibbles; i += v::lanes) {
    const v x = v::load(a.values + i);
    const v scaled = a.ragged ? x / scale : x * scale;  // beyond 1 by a rounding: no boundary is there
    v below = v::zero();
    for (int b = 0; b < 15; ++b) below = count_above(below, scaled, v::set1(a.boundary[b]));
    v::store(lane, below);
    for (int j = 0; j < v::lanes; ++j) {
      const unsigned code = a.code[static_cast<int>(lane[j])];
      std::uint8_t& byte = a.codes[(i + j) / 2];
      byte = static_cast<std::uint8_t>(((i + j) & 1) != 0 ? byte | code : code << 4);
    }
  }
  return -1;
}

/// Lines that are decoded together, a step of each in turn: they may be anywhere, and one has too few pages in flight.
/// (Zen 3, rows of 16 KiB at random, of the speed of reading them in order: one 0.5, with the beginnings of the next
/// row's pages fetched or not, two 0.69, four 0.78, eight 0.6. Granite Rapids, one: 0.67, fetched 0.83; four not
/// measured.)
inline constexpr index_t decode_lines = 4;

/// Elements of some lines, as floats.
template <class Storage>
void decode(const decode_args<Storage>& a) noexcept {
  using v = vec<float>;
  constexpr index_t step = 4 * v::lanes;
  const index_t elements = a.end - a.begin, stride = a.out_stride;
  index_t l = 0;
  if constexpr (std::is_same_v<source_of<Storage>, dense_source<Storage>>) {
    for (; l + decode_lines <= a.count; l += decode_lines) {
      const index_t* const lines = a.lines + l;
      const reader<dense_source<Storage>, float> from[decode_lines] = {{a.source, lines[0], a.begin},
                                                                       {a.source, lines[1], a.begin},
                                                                       {a.source, lines[2], a.begin},
                                                                       {a.source, lines[3], a.begin}};
      float* const out = a.out + l * stride;
      index_t k = 0;
      for (; k + step <= elements; k += step) {
        SBORA_UNROLL
        for (index_t i = 0; i < decode_lines; ++i) {
          SBORA_UNROLL
          for (index_t at = k; at < k + step; at += v::lanes) v::store(out + i * stride + at, from[i].load(0, at));
        }
      }
      for (index_t i = 0; i < decode_lines; ++i) from[i].decode(0, k, 1, elements - k, out + i * stride + k, 0);
    }
  }
  for (; l < a.count; ++l) {
    const reader<source_of<Storage>, float> from(a.source, a.lines[l], 0);
    from.decode(0, a.begin, 1, elements, a.out + l * stride, 0);
  }
}
