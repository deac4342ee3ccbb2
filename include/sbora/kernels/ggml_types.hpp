#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>

#include <sbora/core/index.hpp>

namespace sbora::SBORA_KERNELS_ABI {

// clang-format off: tables

/// The element types of ggml, with the numbers that GGUF files have for them.
enum class ggml_type : std::uint32_t {
  f32 = 0,
  f16 = 1,
  q4_0 = 2,
  q4_1 = 3,
  q5_0 = 6,
  q5_1 = 7,
  q8_0 = 8,
  q8_1 = 9,
  q2_k = 10,
  q3_k = 11,
  q4_k = 12,
  q5_k = 13,
  q6_k = 14,
  q8_k = 15,
  iq2_xxs = 16,
  iq2_xs = 17,
  iq3_xxs = 18,
  iq1_s = 19,
  iq4_nl = 20,
  iq3_s = 21,
  iq2_s = 22,
  iq4_xs = 23,
  i8 = 24,
  i16 = 25,
  i32 = 26,
  i64 = 27,
  f64 = 28,
  iq1_m = 29,
  bf16 = 30,
  tq1_0 = 34,
  tq2_0 = 35,
  mxfp4 = 39,
  nvfp4 = 40,
  q1_0 = 41
};

/// How a row of them lies in memory: in blocks of so many elements and bytes. No name: no type has that number.
struct ggml_layout {
  const char* name;
  index_t elements;
  index_t bytes;
};

inline constexpr ggml_layout ggml_layouts[] = {
    {"F32", 1, 4},      {"F16", 1, 2},        {"Q4_0", 32, 18},    {"Q4_1", 32, 20},     {nullptr, 0, 0},
    {nullptr, 0, 0},    {"Q5_0", 32, 22},     {"Q5_1", 32, 24},    {"Q8_0", 32, 34},     {"Q8_1", 32, 40},
    {"Q2_K", 256, 84},  {"Q3_K", 256, 110},   {"Q4_K", 256, 144},  {"Q5_K", 256, 176},   {"Q6_K", 256, 210},
    {"Q8_K", 256, 292}, {"IQ2_XXS", 256, 66}, {"IQ2_XS", 256, 74}, {"IQ3_XXS", 256, 98}, {"IQ1_S", 256, 50},
    {"IQ4_NL", 32, 18}, {"IQ3_S", 256, 110},  {"IQ2_S", 256, 82},  {"IQ4_XS", 256, 136}, {"I8", 1, 1},
    {"I16", 1, 2},      {"I32", 1, 4},        {"I64", 1, 8},       {"F64", 1, 8},        {"IQ1_M", 256, 56},
    {"BF16", 1, 2},     {nullptr, 0, 0},      {nullptr, 0, 0},     {nullptr, 0, 0},      {"TQ1_0", 256, 54},
    {"TQ2_0", 256, 66}, {nullptr, 0, 0},      {nullptr, 0, 0},     {nullptr, 0, 0},      {"MXFP4", 32, 17},
    {"NVFP4", 64, 36},  {"Q1_0", 128, 18}};

// clang-format on

}  // namespace sbora::SBORA_KERNELS_ABI

namespace sbora::inline SBORA_ABI {

using SBORA_KERNELS_ABI::ggml_type;

/// As ggml spells it: "Q4_K". Null where it is none.
constexpr const char* to_string(ggml_type type) noexcept {
  const auto number = static_cast<std::size_t>(type);
  return number < std::size(SBORA_KERNELS_ABI::ggml_layouts) ? SBORA_KERNELS_ABI::ggml_layouts[number].name : nullptr;
}

}  // namespace sbora::inline SBORA_ABI

namespace sbora::inline SBORA_ABI::detail {

/// Requires: to_string knows it.
constexpr const ggml_layout& layout_of(ggml_type type) noexcept { return ggml_layouts[static_cast<std::size_t>(type)]; }

}  // namespace sbora::inline SBORA_ABI::detail
