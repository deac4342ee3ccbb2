// Included once per level, inside its namespace, after stream_one.inl. No include guard, no includes.
//
// One token against ggml's blocks of 32 elements, from registers: the same values as decode_group's, and the same sums
// as over floats that were decoded before, which took 2 to 3 times as long. (Zen 3, 4096 x 4096, milliseconds: Q8_0
// 1.46, Q4_0 1.46, Q4_1 1.56; scales and codes by way of memory, and a division for each address, 1.84, 2.56, 3.01.)

/// Blocks of 32 codes of 8 bits, or of 4, that are multiplied with a scale and added to a minimum, which may be 0.
template <ggml_type Type>
struct pieces_of_groups : lines_in_pieces<pieces_of_groups<Type>, ggml, float> {
  using v = vec<float>;
  static constexpr index_t most = 512;
  static constexpr index_t bytes = layout_of(Type).bytes, vectors = ggml_group / v::lanes;
  static constexpr bool has_minimum = Type == ggml_type::q4_1;
  static constexpr index_t codes_at = has_minimum ? 4 : 2;

  static index_t ahead() noexcept { return 2048 / bytes * ggml_group; }

  static SBORA_FORCE_INLINE v half(const std::uint8_t* at) noexcept {
    f16 stored;
    __builtin_memcpy(&stored, at, sizeof stored);
    return v::set1(stored);
  }

  /// From element k of a block on.
  static SBORA_FORCE_INLINE v value(const std::uint8_t* codes, index_t k, v scale, v minimum) noexcept {
    if constexpr (Type == ggml_type::q8_0) {
      return scaled(v::load(reinterpret_cast<const std::int8_t*>(codes) + k), 0, scale);
    } else {
      const v its = k < ggml_group / 2 ? low_nibbles(codes + k) : high_nibbles(codes + k - ggml_group / 2);
      if constexpr (has_minimum) return scaled_from(its, scale, minimum);
      else return scaled(its, 8, scale);
    }
  }

  /// A group's vectors are added to the sums from `First` on in turn, or all to the first: those that fill no step.
  template <int First, bool InTurn = true>
  static SBORA_FORCE_INLINE void add_group(const std::uint8_t* block, const float* left,
                                           line_sums<float>& sums) noexcept {
    const v scale = half(block), minimum = has_minimum ? half(block + 2) : v::zero();
    SBORA_UNROLL
    for (int i = 0; i < vectors; ++i) {
      v& sum = sums[InTurn ? (First + i) % 4 : 0];
      sum = multiply_add(v::load(left + i * v::lanes), value(block + codes_at, i * v::lanes, scale, minimum), sum);
    }
  }

  static SBORA_FORCE_INLINE void add_piece(const reader<ggml_source, float>& rhs, index_t line, index_t from,
                                           index_t to, const float* left, const line_fetcher& fetch,
                                           line_sums<float>& sums) noexcept {
    constexpr index_t in_step = vectors >= 4 ? 1 : 4 / vectors;
    static_assert(in_step <= 2);
    const index_t groups = (to - from) / ggml_group;
    const std::uint8_t* block = rhs.bytes(line, from);
    const line_fetcher::place its = fetch.coming(line, from);  // counted on from there: finding it takes a division
    const std::uint8_t *coming = rhs.bytes(its.line, its.at), *const later = rhs.bytes(its.line + stream_lines, 0);
    const index_t until = (fetch.depth() - its.at) / ggml_group / in_step * in_step;
    index_t g = 0;
    for (; g + in_step <= groups; g += in_step, block += in_step * bytes, left += in_step * ggml_group) {
      if (g == until) coming = later;
      __builtin_prefetch(coming);
      coming += in_step * bytes;
      add_group<0>(block, left, sums);
      if constexpr (in_step == 2) add_group<2>(block + bytes, left + ggml_group, sums);
    }
    for (; g < groups; ++g, block += bytes, left += ggml_group) {
      add_group<0, false>(block, left, sums);
    }
  }
};

SBORA_FORCE_INLINE void stream_groups(const stream_args<ggml, float>& a) noexcept {
  const bool whole = a.depth % ggml_group == 0;
  if (whole && a.rhs.type == ggml_type::q8_0) dot_all_lines<pieces_of_groups<ggml_type::q8_0>>(a);
  else if (whole && a.rhs.type == ggml_type::q4_0) dot_all_lines<pieces_of_groups<ggml_type::q4_0>>(a);
  else if (whole && a.rhs.type == ggml_type::q4_1) dot_all_lines<pieces_of_groups<ggml_type::q4_1>>(a);
  else dot_all_lines<pieces_decoded<ggml, float>>(a);
}

/// How one token is multiplied with lines of a storage.
template <class Storage, class T>
SBORA_FORCE_INLINE void stream_one(const stream_args<Storage, T>& a) noexcept {
  if constexpr (std::is_same_v<Storage, four_bit>) {
    if (reader<four_bit_source, float>::reads_fours(a.rhs, a.depth)) dot_all_lines<pieces_of_fours>(a);
    else dot_all_lines<pieces_decoded<Storage, T>>(a);
  } else if constexpr (std::is_same_v<source_of<Storage>, dense_source<Storage>> || std::is_same_v<Storage, int8>) {
    dot_all_lines<lines_in_place<Storage, T>>(a);
  } else if constexpr (std::is_same_v<Storage, ggml>) {
    stream_groups(a);
  } else {
    dot_all_lines<pieces_decoded<Storage, T>>(a);
  }
}
