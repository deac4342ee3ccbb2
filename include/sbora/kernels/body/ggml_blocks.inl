// Included once per level, inside its namespace. No include guard, no includes.
//
// Blocks of ggml's types as floats, 32 elements at a time: their codes as integers of 8 bits, then one product each,
// and one sum where the type has minima, each rounded by itself as gguf-py and ggml's own conversions do.

inline constexpr index_t ggml_group = 32;

SBORA_FORCE_INLINE float half_at(const std::uint8_t* bytes) noexcept {
  f16 half;
  __builtin_memcpy(&half.bits, bytes, sizeof half.bits);
  return widen(half);
}

SBORA_FORCE_INLINE vec<float> scaled(vec<float> codes, float middle, vec<float> scale) noexcept {
  return (codes + vec<float>::set1(-middle)) * scale;
}
SBORA_FORCE_INLINE vec<float> scaled_from(vec<float> codes, vec<float> scale, vec<float> least) noexcept {
  return round_product(codes, scale) + least;
}

/// out = (codes − middle)·scale.
SBORA_FORCE_INLINE void scale_codes(const std::int8_t* codes, index_t count, float middle, float scale,
                                    float* out) noexcept {
  using v = vec<float>;
  for (index_t k = 0; k < count; k += v::lanes) v::store(out + k, scaled(v::load(codes + k), middle, v::set1(scale)));
}
/// out = codes·scale − minimum.
SBORA_FORCE_INLINE void scale_codes_from(const std::int8_t* codes, float scale, float minimum, float* out) noexcept {
  using v = vec<float>;
  for (index_t k = 0; k < ggml_group; k += v::lanes) {
    v::store(out + k, scaled_from(v::load(codes + k), v::set1(scale), v::set1(-minimum)));
  }
}

/// Codes of 4 bits: elements 0 to 15 are the low ones of 16 bytes, the others the high ones.
SBORA_FORCE_INLINE void nibbles_apart(const std::uint8_t* bytes, std::int8_t* codes) noexcept {
  for (index_t k = 0; k < ggml_group / 2; ++k) {
    codes[k] = static_cast<std::int8_t>(bytes[k] & 15U);
    codes[k + ggml_group / 2] = static_cast<std::int8_t>(bytes[k] >> 4);
  }
}
/// Bit k of 32 is the fifth of code k.
SBORA_FORCE_INLINE void add_fifth_bits(const std::uint8_t* bytes, std::int8_t* codes) noexcept {
  for (index_t k = 0; k < ggml_group / 8; ++k) {  // eight bits, each to a byte of its own, where it becomes 1
    const std::uint64_t apart = bytes[k] * 0x0101010101010101U & 0x8040201008040201U;
    const std::uint64_t fifth = (apart + 0x7F7F7F7F7F7F7F7FU) >> 7 & 0x0101010101010101U;
    std::uint64_t eight;
    __builtin_memcpy(&eight, codes + 8 * k, sizeof eight);
    eight |= fifth << 4;
    __builtin_memcpy(codes + 8 * k, &eight, sizeof eight);
  }
}
/// Bits of 32 bytes that are there become `value` in the codes.
SBORA_FORCE_INLINE void add_bits(const std::uint8_t* bytes, unsigned bit, int value, std::int8_t* codes) noexcept {
  for (index_t k = 0; k < ggml_group; ++k) {
    codes[k] = static_cast<std::int8_t>(codes[k] + ((bytes[k] & bit) != 0 ? value : 0));
  }
}
/// The low halves of 32 bytes, or the high ones.
SBORA_FORCE_INLINE void nibbles_of(const std::uint8_t* bytes, bool high, std::int8_t* codes) noexcept {
  if (high) {
    for (index_t k = 0; k < ggml_group; ++k) codes[k] = static_cast<std::int8_t>(bytes[k] >> 4);
  } else {
    for (index_t k = 0; k < ggml_group; ++k) codes[k] = static_cast<std::int8_t>(bytes[k] & 15U);
  }
}
/// out = the table's values·scale.
SBORA_FORCE_INLINE void scale_looked_up(const float* table, const std::int8_t* codes, float scale,
                                        float* out) noexcept {
  using v = vec<float>;
  const auto* const places = reinterpret_cast<const std::uint8_t*>(codes);
  for (index_t k = 0; k < ggml_group; k += v::lanes) v::store(out + k, look_up(table, places + k) * v::set1(scale));
}

inline constexpr float iq4_nl_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
/// Of E2M1, twice.
inline constexpr float mxfp4_values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

/// Half of the power of two of an E8M0 code.
SBORA_FORCE_INLINE float half_of_e8m0(std::uint32_t code) noexcept {
  return float_from_bits(code < 2 ? 0x00200000U << code : (code - 1U) << 23);
}

/// The scale and the minimum of group `g` of a block of 256, 6 bits each in 12 bytes.
struct group_scale {
  unsigned scale, minimum;
};
SBORA_FORCE_INLINE group_scale scale_of_group(const std::uint8_t* bytes, index_t g) noexcept {
  if (g < 4) return {bytes[g] & 63U, bytes[g + 4] & 63U};
  return {(bytes[g + 4] & 15U) | (bytes[g - 4] >> 6) * 16U, (bytes[g + 4] >> 4) | (bytes[g] >> 6) * 16U};
}
/// Of a block that begins with a scale and a minimum of all, then those.
SBORA_FORCE_INLINE void scale_group(const std::uint8_t* block, index_t g, const std::int8_t* codes,
                                    float* out) noexcept {
  const group_scale of = scale_of_group(block + 4, g);
  scale_codes_from(codes, opaque(half_at(block) * static_cast<float>(of.scale)),
                   opaque(half_at(block + 2) * static_cast<float>(of.minimum)), out);
}

/// Group `g` of a block as 32 floats.
template <ggml_type Type>
SBORA_FORCE_INLINE void decode_group(const std::uint8_t* block, [[maybe_unused]] index_t g, float* out) noexcept {
  alignas(32) std::int8_t codes[ggml_group];
  if constexpr (Type == ggml_type::q8_0) {
    __builtin_memcpy(codes, block + 2, ggml_group);
    scale_codes(codes, ggml_group, 0, half_at(block), out);
  } else if constexpr (Type == ggml_type::q4_0) {
    nibbles_apart(block + 2, codes);
    scale_codes(codes, ggml_group, 8, half_at(block), out);
  } else if constexpr (Type == ggml_type::q4_1) {
    nibbles_apart(block + 4, codes);
    scale_codes_from(codes, half_at(block), -half_at(block + 2), out);
  } else if constexpr (Type == ggml_type::q5_0) {
    nibbles_apart(block + 6, codes);
    add_fifth_bits(block + 2, codes);
    scale_codes(codes, ggml_group, 16, half_at(block), out);
  } else if constexpr (Type == ggml_type::q5_1) {
    nibbles_apart(block + 8, codes);
    add_fifth_bits(block + 4, codes);
    scale_codes_from(codes, half_at(block), -half_at(block + 2), out);
  } else if constexpr (Type == ggml_type::iq4_nl) {
    nibbles_apart(block + 2, codes);
    scale_looked_up(iq4_nl_values, codes, half_at(block), out);
  } else if constexpr (Type == ggml_type::mxfp4) {
    nibbles_apart(block + 1, codes);
    scale_looked_up(mxfp4_values, codes, half_of_e8m0(block[0]), out);
  } else if constexpr (Type == ggml_type::q4_k) {
    nibbles_of(block + 16 + g / 2 * ggml_group, g % 2 != 0, codes);
    scale_group(block, g, codes, out);
  } else if constexpr (Type == ggml_type::q5_k) {
    nibbles_of(block + 48 + g / 2 * ggml_group, g % 2 != 0, codes);
    add_bits(block + 16, 1U << g, 16, codes);
    scale_group(block, g, codes, out);
  } else {
    static_assert(Type == ggml_type::q6_k);
    nibbles_of(block + g / 4 * 64 + g % 2 * ggml_group, g / 2 % 2 != 0, codes);
    for (unsigned i = 0; i < 2; ++i) add_bits(block + 128 + g / 4 * 32, 1U << (g % 4 * 2 + i), 16 << i, codes);
    for (index_t part = 0; part < 2; ++part) {  // 16 elements share a scale
      const auto scale = static_cast<float>(static_cast<std::int8_t>(block[192 + 2 * g + part]));
      scale_codes(codes + part * 16, 16, 32, opaque(half_at(block + 208) * scale), out + part * 16);
    }
  }
}

/// `count` elements of a line from `element` on.
template <ggml_type Type>
void decode_groups(const std::uint8_t* line, index_t element, index_t count, float* out) noexcept {
  constexpr ggml_layout layout = layout_of(Type);
  while (count > 0) {
    const std::uint8_t* const block = line + element / layout.elements * layout.bytes;
    const index_t group = element % layout.elements / ggml_group, first = element % ggml_group;
    const index_t here = ggml_group - first < count ? ggml_group - first : count;
    if (here == ggml_group) {
      decode_group<Type>(block, group, out);
    } else {
      alignas(64) float whole[ggml_group];
      decode_group<Type>(block, group, whole);
      for (index_t k = 0; k < here; ++k) out[k] = whole[first + k];
    }
    element += here;
    out += here;
    count -= here;
  }
}

SBORA_NO_INLINE inline void decode_ggml(ggml_type type, const std::uint8_t* line, index_t element, index_t count,
                                        float* out) noexcept {
  switch (type) {
    case ggml_type::q4_0: return decode_groups<ggml_type::q4_0>(line, element, count, out);
    case ggml_type::q4_1: return decode_groups<ggml_type::q4_1>(line, element, count, out);
    case ggml_type::q5_0: return decode_groups<ggml_type::q5_0>(line, element, count, out);
    case ggml_type::q5_1: return decode_groups<ggml_type::q5_1>(line, element, count, out);
    case ggml_type::q8_0: return decode_groups<ggml_type::q8_0>(line, element, count, out);
    case ggml_type::q4_k: return decode_groups<ggml_type::q4_k>(line, element, count, out);
    case ggml_type::q5_k: return decode_groups<ggml_type::q5_k>(line, element, count, out);
    case ggml_type::q6_k: return decode_groups<ggml_type::q6_k>(line, element, count, out);
    case ggml_type::iq4_nl: return decode_groups<ggml_type::iq4_nl>(line, element, count, out);
    case ggml_type::mxfp4: return decode_groups<ggml_type::mxfp4>(line, element, count, out);
    default: return;  // no source has it
  }
}

template <>
class reader<ggml_source, float> : public reader_base<reader<ggml_source, float>, float> {
 public:
  using v = vec<float>;
  static constexpr index_t cache_line_elements = cache_line_cursor::bytes;  // or more

  SBORA_FORCE_INLINE reader(const ggml_source& source, index_t line, index_t at) noexcept
      : source_(source), layout_(layout_of(source.type)), line_(line), at_(at) {}

  SBORA_FORCE_INLINE v load_n(index_t i, index_t j, index_t n) const noexcept {
    float values[v::lanes] = {};
    decode_line(i, j, n, values);
    return v::load(values);
  }
  SBORA_FORCE_INLINE void decode_line(index_t i, index_t j, index_t count, float* out) const noexcept {
    decode_ggml(source_.type, source_.data + (line_ + i) * source_.stride, at_ + j, count, out);
  }
  SBORA_FORCE_INLINE void fetch(index_t i, index_t j) const noexcept { __builtin_prefetch(bytes(i, j)); }
  SBORA_FORCE_INLINE cache_line_cursor memory(index_t lines, index_t length) const noexcept {
    return {bytes(0, 0), source_.stride, lines, length / layout_.elements * layout_.bytes};
  }

  /// Where the block of that element begins.
  SBORA_FORCE_INLINE const std::uint8_t* bytes(index_t i, index_t j) const noexcept {
    return source_.data + (line_ + i) * source_.stride + (at_ + j) / layout_.elements * layout_.bytes;
  }

 private:
  const ggml_source& source_;
  const ggml_layout& layout_;
  index_t line_, at_;
};
