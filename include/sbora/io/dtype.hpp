#pragma once

#include <complex>
#include <cstdint>
#include <optional>
#include <string_view>

#include <Eigen/Core>

#include <sbora/core/abi.hpp>

namespace sbora::inline SBORA_ABI {

// clang-format off: tables

/// The element types of safetensors, in the reference implementation's order, which sorts files.
enum class dtype : std::uint8_t {
  boolean,
  f4,
  f6_e2m3,
  f6_e3m2,
  u8,
  i8,
  f8_e5m2,
  f8_e4m3,
  f8_e8m0,
  f8_e4m3fnuz,
  f8_e5m2fnuz,
  i16,
  u16,
  f16,
  bf16,
  i32,
  u32,
  f32,
  c64,
  f64,
  i64,
  u64
};

}  // namespace sbora::inline SBORA_ABI

namespace sbora::inline SBORA_ABI::detail {

struct dtype_info {
  const char* name;
  int bits;
};

inline constexpr dtype_info dtype_infos[] = {
    {"BOOL", 8},    {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6},     {"U8", 8},          {"I8", 8},
    {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"I16", 16},
    {"U16", 16},    {"F16", 16},    {"BF16", 16},   {"I32", 32},        {"U32", 32},        {"F32", 32},
    {"C64", 64},    {"F64", 64},    {"I64", 64},    {"U64", 64}};

template <class Scalar>
struct dtype_for {
  static constexpr bool known = false;
};
template <dtype Type>
struct dtype_is {
  static constexpr bool known = true;
  static constexpr dtype value = Type;
};
template <>
struct dtype_for<bool> : dtype_is<dtype::boolean> {};
template <>
struct dtype_for<std::uint8_t> : dtype_is<dtype::u8> {};
template <>
struct dtype_for<std::int8_t> : dtype_is<dtype::i8> {};
template <>
struct dtype_for<std::int16_t> : dtype_is<dtype::i16> {};
template <>
struct dtype_for<std::uint16_t> : dtype_is<dtype::u16> {};
template <>
struct dtype_for<Eigen::half> : dtype_is<dtype::f16> {};
template <>
struct dtype_for<Eigen::bfloat16> : dtype_is<dtype::bf16> {};
template <>
struct dtype_for<std::int32_t> : dtype_is<dtype::i32> {};
template <>
struct dtype_for<std::uint32_t> : dtype_is<dtype::u32> {};
template <>
struct dtype_for<float> : dtype_is<dtype::f32> {};
template <>
struct dtype_for<std::complex<float>> : dtype_is<dtype::c64> {};
template <>
struct dtype_for<double> : dtype_is<dtype::f64> {};
template <>
struct dtype_for<std::int64_t> : dtype_is<dtype::i64> {};
template <>
struct dtype_for<std::uint64_t> : dtype_is<dtype::u64> {};

// clang-format on

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

/// As files spell it: "BOOL", "F8_E4M3", "BF16".
constexpr const char* to_string(dtype type) noexcept { return detail::dtype_infos[static_cast<int>(type)].name; }

/// Of one element.
constexpr int bits_of(dtype type) noexcept { return detail::dtype_infos[static_cast<int>(type)].bits; }

/// Nothing where no type is spelt like that.
constexpr std::optional<dtype> parse_dtype(std::string_view name) noexcept {
  for (int i = 0; i < static_cast<int>(std::size(detail::dtype_infos)); ++i) {
    if (name == detail::dtype_infos[i].name) return static_cast<dtype>(i);
  }
  return std::nullopt;
}

/// The dtype of a C++ type.
template <class Scalar>
inline constexpr dtype dtype_of = [] {
  static_assert(detail::dtype_for<Scalar>::known, "sbora::dtype_of: safetensors has no dtype for this scalar");
  return detail::dtype_for<Scalar>::value;
}();

/// f(Scalar{}) for the types of dense weights, F32, F16 and BF16, and what it returns; nothing for any other type.
template <class Function>
auto visit_dense_dtype(dtype type, Function&& f) -> std::optional<decltype(f(float{}))> {
  switch (type) {
    case dtype::f32: return f(float{});
    case dtype::f16: return f(Eigen::half{});
    case dtype::bf16: return f(Eigen::bfloat16{});
    default: return std::nullopt;
  }
}
constexpr bool is_dense_dtype(dtype type) noexcept {
  return type == dtype::f32 || type == dtype::f16 || type == dtype::bf16;
}

}  // namespace sbora::inline SBORA_ABI
