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

/// Elements from `at` on of one line, as floats.
template <class Storage>
void decode(const decode_args<Storage>& a) noexcept {
  const reader<source_of<Storage>, float> from(a.source, a.line, 0);
  from.decode(0, a.begin, 1, a.end - a.begin, a.out, 0);
}
