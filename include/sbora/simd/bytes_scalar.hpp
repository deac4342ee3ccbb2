#pragma once

#include <sbora/simd/vec_scalar.hpp>

/// The vocabulary of products of bytes at the scalar level; kernels/body/byte_product.inl is written against it.
/// Weights and activations come in groups of `byte_blocks` blocks of 32, as two vectors of 16·byte_blocks bytes each, `bytes`.
///
///   has_byte_tiles<Narrow>  whether a product of many rows is faster so than in floats
///   ints                    one int for each lane of vec<float>; load, store, set1, +
///   to_float(ints)          exact below 2^24
///   store_bytes(p, v)       lanes of floats in [-127, 127], rounded to nearest even
///   greater_bits(a, x)      a, and the bits of |x|, the greater as integers: a NaN is above everything.
///                           greatest_bits(a): of the lanes
///   by_parity(from, to)     a group: first its elements 0, 2, 4 …, then 1, 3, 5 …
///   by_halves(from, to)     a group: first each block's first 16, then each block's last 16
///   load_bytes(p)           a vector of them
///   four_bytes(p)           the same four again and again; bits_of(bytes): as floats. Where there are tiles
///   nibble_bytes(table)     load(p, two): a group of 4-bit codes, the high nibble of each byte first, as the bytes of
///                           a table of 16, in the order of by_parity. load_half(p, two): where byte_blocks is 4, of
///                           half a group, then anything
///   plain_bytes             the same of bytes, in the order of by_halves
///   byte_dot<Narrow>        add(sum, w, x): each int plus four products of weights and activations that lie side by
///                           side, or of any four of the block where has_byte_tiles is false. Narrow: weights are in
///                           [-64, 64] and come with `excess` added; else in [-128, 127], and ready(w) adds it
///   sum_blocks(dots, stride, out)  dots: of each of `lanes` lines, `stride` apart, the lanes / byte_blocks ints of
///                           byte_blocks blocks; out: byte_blocks ints, line by line, the sums of one block
namespace sbora::inline SBORA_ABI::detail::scalar {

inline constexpr int byte_blocks = 1;
template <bool Narrow>
inline constexpr bool has_byte_tiles = false;

struct ints {
  std::int32_t v;

  static SBORA_FORCE_INLINE ints set1(std::int32_t value) noexcept { return {value}; }
  static SBORA_FORCE_INLINE ints load(const std::int32_t* p) noexcept { return {*p}; }
  static SBORA_FORCE_INLINE void store(std::int32_t* p, ints a) noexcept { *p = a.v; }
  friend SBORA_FORCE_INLINE ints operator+(ints a, ints b) noexcept { return {a.v + b.v}; }
};

SBORA_FORCE_INLINE vec<float> to_float(ints a) noexcept { return {static_cast<float>(a.v)}; }
/// Rounded once at this level too, so that all have the same bits.
SBORA_FORCE_INLINE vec<float> fused_add(vec<float> a, vec<float> b, vec<float> c) noexcept {
  return {fused(a.v, b.v, c.v)};
}
SBORA_FORCE_INLINE void store_bytes(std::int8_t* p, vec<float> a) noexcept {
  *p = static_cast<std::int8_t>(__builtin_rintf(a.v));
}
SBORA_FORCE_INLINE ints greater_bits(ints a, vec<float> x) noexcept {
  const auto bits = static_cast<std::int32_t>(float_bits(x.v) & 0x7FFFFFFFU);
  return {a.v > bits ? a.v : bits};
}
SBORA_FORCE_INLINE std::int32_t greatest_bits(ints a) noexcept { return a.v; }

SBORA_FORCE_INLINE void by_parity(const std::int8_t* from, std::int8_t* to) noexcept {
  for (int i = 0; i < 32; ++i) to[i / 2 + i % 2 * 16] = from[i];
}
SBORA_FORCE_INLINE void by_halves(const std::int8_t* from, std::int8_t* to) noexcept {
  for (int i = 0; i < 32; ++i) to[i] = from[i];
}

struct byte_lanes {
  std::int8_t v[16];
};
SBORA_FORCE_INLINE byte_lanes load_bytes(const std::int8_t* p) noexcept {
  byte_lanes a;
  __builtin_memcpy(&a, p, sizeof a);
  return a;
}

struct nibble_bytes {
  std::int8_t table[16];
  explicit SBORA_FORCE_INLINE nibble_bytes(const std::int8_t* values) noexcept {
    __builtin_memcpy(table, values, sizeof table);
  }
  SBORA_FORCE_INLINE void load(const std::uint8_t* codes, byte_lanes (&two)[2]) const noexcept {
    for (int i = 0; i < 16; ++i) {
      two[0].v[i] = table[codes[i] >> 4];
      two[1].v[i] = table[codes[i] & 15];
    }
  }
};
struct plain_bytes {
  SBORA_FORCE_INLINE void load(const std::int8_t* codes, byte_lanes (&two)[2]) const noexcept {
    two[0] = load_bytes(codes);
    two[1] = load_bytes(codes + 16);
  }
};

template <bool Narrow>
struct byte_dot {
  static constexpr int excess = 0;
  static SBORA_FORCE_INLINE byte_lanes ready(byte_lanes w) noexcept { return w; }
  static SBORA_FORCE_INLINE ints add(ints sum, byte_lanes w, byte_lanes x) noexcept {
    for (int i = 0; i < 16; ++i) sum.v += int{w.v[i]} * int{x.v[i]};
    return sum;
  }
};

SBORA_FORCE_INLINE void sum_blocks(const std::int32_t* dots, index_t, ints* out) noexcept { *out = ints::load(dots); }

}  // namespace sbora::inline SBORA_ABI::detail::scalar
