// Included once per level, inside its namespace, after optimiser.inl. No include guard, no includes.

/// One moment of a block: decoded, kept as floats while the step is done, and rounded again.
template <class T>
struct moment_of_block {
  using v = vec<T>;
  const moment_map& map;
  std::uint8_t* code;
  float& absmax;
  v scale, greatest;
  bool finite;
  T value[moment_block];

  SBORA_FORCE_INLINE moment_of_block(const moment_codes& moment, index_t begin) noexcept
      : map(moment.map),
        code(moment.code + begin),
        absmax(moment.absmax[begin / moment_block]),
        scale(v::set1(absmax)),
        greatest(v::zero()),
        finite(true) {}

  SBORA_FORCE_INLINE v decode(index_t i) const noexcept { return look_up(map.value, code + i) * scale; }
  SBORA_FORCE_INLINE void keep(index_t i, v moment) noexcept {
    v::store(value + i, moment);
    greatest = max_abs(greatest, moment);
    finite &= v::all_finite(moment);
  }
  /// Codes of vectors that hold the first `count`, and their scale.
  SBORA_FORCE_INLINE void round(index_t count) noexcept {
    T lane[v::lanes];
    v::store(lane, greatest);
    T most = lane[0];
    for (const T other : lane) most = other > most ? other : most;
    const T least = 0x1p-126F;  // no division by zero, nor by what is taken for it
    const v divisor = v::set1(most > least ? most : least);
    for (index_t i = 0; i < count; i += v::lanes) {
      store_codes(code + i, map.code_of_zero,
                  round_to_map(map.steps, moment_map::first_step, moment_map::last_step, v::load(value + i) / divisor));
    }
    absmax = finite ? most : float_from_bits(0x7FC00000U);
  }
};

/// See adamw_8bit_args.
template <class T>
void adamw_8bit(const adamw_8bit_args& a) noexcept {
  using v = vec<T>;
  const step_rule<adamw_rates<T>> step(a.rates);
  for (index_t begin = a.begin; begin < a.end; begin += moment_block) {
    const index_t count = a.end - begin < moment_block ? a.end - begin : moment_block;
    moment_of_block<T> first(a.first, begin), second(a.second, begin);
    float* const parameter = a.parameter + begin;
    const float* const gradient = a.gradient + begin;
    index_t i = 0;
    for (; i + v::lanes <= count; i += v::lanes) {
      v w = v::load(parameter + i), moments[2] = {first.decode(i), second.decode(i)};
      step(w, v::load(gradient + i), moments);
      v::store(parameter + i, w);
      first.keep(i, moments[0]), second.keep(i, moments[1]);
    }
    if (i < count) {
      const index_t n = count - i;
      v w = v::load_n(parameter + i, n), moments[2] = {first.decode(i), second.decode(i)};
      step(w, v::load_n(gradient + i, n), moments);
      v::store_n(parameter + i, w, n);
      first.keep(i, moments[0]), second.keep(i, moments[1]);
    }
    first.round(count), second.round(count);
  }
}
