#pragma once

#include <cmath>

#include <sbora/simd/float16.hpp>
#include <sbora/simd/opaque.hpp>

/// The vector vocabulary at the scalar level. Every level defines the same two types, vec<float> and
/// vec<double>, in a namespace of its own; kernels/body/ is written against it once.
///
///   load(p), load_n(p, n)   all lanes, or the first n with zeros above; never read past p[n - 1]
///   store(p, v), store_n    the same for writing. p may point to bf16 or f16 where lanes are float:
///                           loads widen exactly, stores round to nearest even
///   set1(x)                 x may be f16 where lanes are float
///   round_product(a, b)     a·b rounded by itself: never fused into a following addition
///   multiply_add(a, b, c)   a·b + c, one rounding where the level has FMA; also of scalars
///   opaque(x)               a scalar that the compiler cannot fuse into what follows (opaque.hpp)
///   load(p)                 p may also point to int8 codes, and to float where lanes are double
///   low_nibbles(p)          of lanes bytes, as floats; high_nibbles
///   nibble_table(p)         of 16 floats; look_up(bytes): lanes of them, by codes in lanes / 2 bytes, the
///                           high nibble of each first (at the scalar level, by the first nibble).
///                           look_up_four(bytes, values): four vectors, of codes in 2·lanes bytes;
///                           look_up_four_apart: the same in the order of lanes_apart
///   lanes_apart(v)          a level's own order of the lanes of floats, in which codes are decoded with less work;
///                           lanes_together puts them back
///   max_abs(a, b)           the greater of |a| and |b| in each lane; unspecified for NaN
///   count_above(n, a, b)    n, plus 1 in lanes where a > b
///   look_up(table, codes)   table[code] of lanes codes of 8 bits
///   round_to_map(steps, first, last, v)  lanes of ints, signed as v in [-1, 1]; see moment_map in steps.hpp
///   store_codes(p, offset, ints)         offset + int in bytes; 0 where that is negative
///   philox_round(words, multipliers, key)  what a round of Philox4x32 (random.hpp) makes of the blocks of four
///                           words that lie in the lanes, multipliers in the lanes of words 0 and 2, keys there too.
///                           Of floats, where lanes are a multiple of 4, as load_words(p), add_words(a, b) and
///                           where_at_least(least, words, v): v in lanes whose word is that, else 0
///   sum(v)                  of the lanes, the upper half added to the lower until one is left
///   all_finite(v)           no lane is NaN or infinite
///   transpose(block)        lanes vectors of lanes elements, transposed in place
namespace sbora::inline SBORA_ABI::detail::scalar {

template <class T>
struct vec {
  static constexpr int lanes = 1;
  T v;

  static SBORA_FORCE_INLINE vec set1(T value) noexcept { return {value}; }
  static SBORA_FORCE_INLINE vec set1(f16 value) noexcept { return {widen(value)}; }
  static SBORA_FORCE_INLINE vec zero() noexcept { return {T{0}}; }

  static SBORA_FORCE_INLINE vec load(const T* p) noexcept { return {*p}; }
  static SBORA_FORCE_INLINE vec load(const float* p) noexcept
    requires(sizeof(T) == 8)
  {
    return {static_cast<T>(*p)};
  }
  static SBORA_FORCE_INLINE vec load(const bf16* p) noexcept { return {widen(*p)}; }
  static SBORA_FORCE_INLINE vec load(const f16* p) noexcept { return {widen(*p)}; }
  static SBORA_FORCE_INLINE vec load(const std::int8_t* p) noexcept { return {static_cast<T>(*p)}; }
  template <class Storage>
  static SBORA_FORCE_INLINE vec load_n(const Storage* p, index_t n) noexcept {
    return n > 0 ? load(p) : zero();
  }

  static SBORA_FORCE_INLINE void store(T* p, vec a) noexcept { *p = a.v; }
  static SBORA_FORCE_INLINE void store(bf16* p, vec a) noexcept { *p = narrow_bf16(a.v); }
  static SBORA_FORCE_INLINE void store(f16* p, vec a) noexcept { *p = narrow_f16(a.v); }
  template <class Storage>
  static SBORA_FORCE_INLINE void store_n(Storage* p, vec a, index_t n) noexcept {
    if (n > 0) store(p, a);
  }

  static SBORA_FORCE_INLINE bool all_finite(vec a) noexcept {
    if constexpr (sizeof(T) == 4) {
      return (float_bits(a.v) & 0x7F800000U) != 0x7F800000U;
    } else {
      std::uint64_t bits;
      __builtin_memcpy(&bits, &a.v, sizeof bits);
      return (bits & 0x7FF0000000000000U) != 0x7FF0000000000000U;
    }
  }
};

template <class T>
SBORA_FORCE_INLINE vec<T> operator+(vec<T> a, vec<T> b) noexcept {
  return {a.v + b.v};
}
template <class T>
SBORA_FORCE_INLINE vec<T> operator-(vec<T> a, vec<T> b) noexcept {
  return {a.v - b.v};
}
template <class T>
SBORA_FORCE_INLINE vec<T> operator*(vec<T> a, vec<T> b) noexcept {
  return {a.v * b.v};
}
template <class T>
SBORA_FORCE_INLINE vec<T> operator/(vec<T> a, vec<T> b) noexcept {
  return {a.v / b.v};
}
template <class T>
SBORA_FORCE_INLINE vec<T> sqrt(vec<T> a) noexcept {
  return {std::sqrt(a.v)};
}
template <class T>
SBORA_FORCE_INLINE T multiply_add(T a, T b, T c) noexcept {
#if defined(__FMA__) || defined(__aarch64__)
  return fused(a, b, c);
#else
  return a * b + c;
#endif
}
template <class T>
SBORA_FORCE_INLINE vec<T> multiply_add(vec<T> a, vec<T> b, vec<T> c) noexcept {
  return {multiply_add(a.v, b.v, c.v)};
}
template <class T>
SBORA_FORCE_INLINE void transpose(vec<T> (&)[1]) noexcept {}
template <class T>
SBORA_FORCE_INLINE T sum(vec<T> a) noexcept {
  return a.v;
}
template <class T>
SBORA_FORCE_INLINE vec<T> round_product(vec<T> a, vec<T> b) noexcept {
  return {opaque(a.v * b.v)};
}

SBORA_FORCE_INLINE vec<float> max_abs(vec<float> a, vec<float> b) noexcept {
  const float x = std::fabs(a.v), y = std::fabs(b.v);
  return {x > y ? x : y};
}
SBORA_FORCE_INLINE vec<float> count_above(vec<float> count, vec<float> a, vec<float> b) noexcept {
  return {count.v + (a.v > b.v ? 1.0F : 0.0F)};
}

SBORA_FORCE_INLINE vec<float> look_up(const float* table, const std::uint8_t* codes) noexcept {
  return {table[*codes]};
}
SBORA_FORCE_INLINE int round_to_map(const std::uint32_t* steps, int first, int last, vec<float> a) noexcept {
  const std::uint32_t bits = float_bits(a.v), magnitude = bits & 0x7FFFFFFFU;
  if (magnitude == 0) return 0;
  const int upper = static_cast<int>(magnitude >> 16);
  const std::uint32_t step = steps[(upper < first ? first : upper > last ? last : upper) - first];
  const int entry = static_cast<int>(step >> 16) + ((magnitude & 0xFFFFU) > (step & 0xFFFFU) ? 1 : 0);
  return bits != magnitude ? -entry : entry;
}
SBORA_FORCE_INLINE void store_codes(std::uint8_t* codes, int offset, int entry) noexcept {
  const int code = offset + entry;
  *codes = static_cast<std::uint8_t>(code < 0 ? 0 : code);
}

SBORA_FORCE_INLINE vec<float> low_nibbles(const std::uint8_t* p) noexcept { return {static_cast<float>(*p & 15U)}; }
SBORA_FORCE_INLINE vec<float> high_nibbles(const std::uint8_t* p) noexcept { return {static_cast<float>(*p >> 4)}; }

struct nibble_table {
  const float* values;

  explicit SBORA_FORCE_INLINE nibble_table(const float* table) noexcept : values(table) {}
  SBORA_FORCE_INLINE vec<float> look_up(const std::uint8_t* bytes) const noexcept { return {values[*bytes >> 4]}; }
  SBORA_FORCE_INLINE void look_up_four(const std::uint8_t* bytes, vec<float> (&four)[4]) const noexcept {
    for (int i = 0; i < 4; ++i) four[i] = {values[i % 2 == 0 ? bytes[i / 2] >> 4 : bytes[i / 2] & 15]};
  }
  SBORA_FORCE_INLINE void look_up_four_apart(const std::uint8_t* bytes, vec<float> (&four)[4]) const noexcept {
    look_up_four(bytes, four);
  }
};

SBORA_FORCE_INLINE vec<float> lanes_apart(vec<float> a) noexcept { return a; }
SBORA_FORCE_INLINE vec<float> lanes_together(vec<float> a) noexcept { return a; }

}  // namespace sbora::inline SBORA_ABI::detail::scalar
