// Included once per level, inside its namespace, after readers.inl. No include guard, no includes.

/// Groups of a line whose scales are looked at together.
inline constexpr index_t byte_scales = byte_panel_depth / byte_group;

/// out[i] = the scales of the blocks from `block` on, of nested ones.
SBORA_FORCE_INLINE void nested_scales_to(const four_bit_source& s, index_t block, index_t count, float* out) noexcept {
  using v = vec<float>;
  const reader<four_bit_source, float> from(s, 0, 0);
  for (index_t i = 0; i < count;) {
    const index_t at = block + i;
    if (v::lanes > 1 && i + v::lanes <= count && (at & 255) + v::lanes <= 256) {
      const v scale = round_product(look_up(s.nested_table, s.absmax_codes + at), v::set1(s.absmax[at >> 8]));
      v::store(out + i, scale + v::set1(s.nested_offset));
      i += v::lanes;
    } else {
      out[i++] = from.scale(at << s.block_shift);
    }
  }
}

/// What products of bytes need of a weight's storage: where codes are, the integers that they stand for (with `excess`
/// more), and the scales of `groups` groups of a line from element k on: where they lie, or in `room`.
template <class Storage>
struct byte_weight;

template <>
struct byte_weight<four_bit> {
  using code = std::uint8_t;
  static constexpr bool narrow = true;

  static constexpr index_t bytes_of(index_t elements) noexcept { return elements / 2; }
  static SBORA_FORCE_INLINE const code* at(const four_bit_source& s, index_t line, index_t k) noexcept {
    return s.codes + (line * s.line_length + k) / 2;
  }
  static SBORA_FORCE_INLINE const float* scales(const four_bit_source& s, index_t line, index_t k, index_t groups,
                                                float* room) noexcept {
    const index_t element = line * s.line_length + k, block = element >> s.block_shift;
    if (s.block_shift == 6 && s.absmax_codes == nullptr) return s.absmax + block;
    if (s.block_shift == 6) {
      nested_scales_to(s, block, groups, room);
    } else {
      const reader<four_bit_source, float> from(s, 0, 0);
      for (index_t i = 0; i < groups; ++i) room[i] = from.scale(element + i * byte_group);
    }
    return room;
  }
  /// Brings near what `lines` lines from `line` on have of them.
  static SBORA_FORCE_INLINE void fetch_scales(const four_bit_source& s, index_t line, index_t k,
                                              index_t groups) noexcept {
    const bool nested = s.absmax_codes != nullptr;
    const index_t size = nested ? 1 : static_cast<index_t>(sizeof(float));
    const char* const from =
        nested ? reinterpret_cast<const char*>(s.absmax_codes) : reinterpret_cast<const char*>(s.absmax);
    const index_t element = line * s.line_length + k;
    const index_t end = ((element + groups * byte_group) >> s.block_shift) * size;
    for (index_t at = (element >> s.block_shift) * size; at < end; at += cache_line_cursor::bytes)
      __builtin_prefetch(from + at);
  }
  static SBORA_FORCE_INLINE nibble_bytes integers(const four_bit_source& s, float steps, int excess) noexcept {
    alignas(64) std::int8_t table[16];
    for (int i = 0; i < 16; i += vec<float>::lanes) {
      store_bytes(table + i, vec<float>::load(s.table + i) * vec<float>::set1(steps));
    }
    for (std::int8_t& value : table) value = static_cast<std::int8_t>(value + excess);
    return nibble_bytes(table);
  }
};

template <>
struct byte_weight<int8> {
  using code = std::int8_t;
  static constexpr bool narrow = false;

  static constexpr index_t bytes_of(index_t elements) noexcept { return elements; }
  static SBORA_FORCE_INLINE const code* at(const int8_source& s, index_t line, index_t k) noexcept {
    return s.data + line * s.stride + k;
  }
  static SBORA_FORCE_INLINE const float* scales(const int8_source& s, index_t line, index_t, index_t groups,
                                                float* room) noexcept {
    for (index_t i = 0; i < groups; ++i) room[i] = s.absmax[line];
    return room;
  }
  static SBORA_FORCE_INLINE void fetch_scales(const int8_source&, index_t, index_t, index_t) noexcept {}
  static SBORA_FORCE_INLINE plain_bytes integers(const int8_source&, float, int) noexcept { return {}; }
};
