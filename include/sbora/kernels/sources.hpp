#pragma once

#include <cstdint>

#include <sbora/core/index.hpp>
#include <sbora/kernels/ggml_types.hpp>
#include <sbora/simd/float16.hpp>

/// How kernels see a weight that they read: lines of consecutive elements, a line being a row of memory.
/// kernels/body/readers.inl turns each kind into vectors.
namespace sbora::SBORA_KERNELS_ABI {

/// Element `at` of line `line` is data[line·stride + at].
template <class Storage>
struct dense_source {
  const Storage* data;
  index_t stride;
};

/// 4-bit codes of a matrix of lines without gaps, in blocks over the flattened matrix: element
/// e = line·line_length + at is nibble e of codes, the high nibble of a byte first, and stands for
/// table[code]·scale(e / blocksize), rounded to float.
struct four_bit_source {
  const std::uint8_t* codes;
  const float* table;  ///< 16 values
  index_t line_length;
  int block_shift;  ///< log2(blocksize), at least 5
  const float* absmax;
  /// Where not null, the scale of block b is nested_table[absmax_codes[b]]·absmax[b / 256] + nested_offset,
  /// rounded after the product, and otherwise absmax[b].
  const std::uint8_t* absmax_codes;
  const float* nested_table;  ///< 256 values
  float nested_offset;
};

/// One scale for every line: data[line·stride + at]·absmax[line]·(1/127), rounded twice in that order.
struct int8_source {
  const std::int8_t* data;
  index_t stride;
  const float* absmax;
};

/// E4M3 codes, and a scale for each 2^line_shift lines × 2^at_shift elements: element `at` of line `line` is
/// table[data[line·stride + at]]·scale[(line >> line_shift)·scale_stride + (at >> at_shift)], rounded.
struct fp8_source {
  const std::uint8_t* data;
  index_t stride;
  const float* table;  ///< 256 values
  const float* scale;
  index_t scale_stride;
  int line_shift, at_shift;
};

/// Blocks of one of ggml's types: line `line` begins with the first element of the block at data + line·stride.
struct ggml_source {
  const std::uint8_t* data;
  index_t stride;  ///< bytes
  ggml_type type;
};

/// Names of the quantised storages, where dense ones are named by their element.
struct four_bit {};
struct int8 {};
struct fp8 {};
struct ggml {};

template <class Storage>
struct source_type {
  using type = dense_source<Storage>;
};
template <>
struct source_type<four_bit> {
  using type = four_bit_source;
};
template <>
struct source_type<int8> {
  using type = int8_source;
};
template <>
struct source_type<fp8> {
  using type = fp8_source;
};
template <>
struct source_type<ggml> {
  using type = ggml_source;
};
template <class Storage>
using source_of = typename source_type<Storage>::type;

/// What sums that replace an element are rounded to: its type, or nothing where codes cannot hold them.
template <class Storage>
struct rounding_type {
  using type = Storage;
};
template <>
struct rounding_type<four_bit> {
  using type = float;
};
template <>
struct rounding_type<int8> {
  using type = float;
};
template <>
struct rounding_type<fp8> {
  using type = float;
};
template <>
struct rounding_type<ggml> {
  using type = float;
};
template <class Storage>
using rounding_of = typename rounding_type<Storage>::type;

/// 1/127 as LLM.int8 has it.
inline constexpr float int8_unit = 7.874015718698502e-3F;

}  // namespace sbora::SBORA_KERNELS_ABI
