#pragma once

#include <type_traits>

#include <sbora/kernels/arguments.hpp>
#include <sbora/kernels/steps.hpp>
#include <sbora/simd/isa.hpp>

namespace sbora::SBORA_KERNELS_ABI {

// A family is a struct of functions that are compiled together: a unit compiles the families that it uses, at every
// level, and no others. (A merger that also compiled the products took three times as long.) Each is declared here
// once, filled once in body/all.inl or a level's own header, and named once in the lists at the end.

/// Kernels on activations and their gradients.
template <class T>
struct dense_kernels {
  void (*gather)(const gather_args<T>&) noexcept;
  void (*scatter_add)(const scatter_args<T>&) noexcept;
  void (*dropout)(const dropout_args<T>&) noexcept;
};

/// What a product's left operand is packed with, and for which tiles.
template <class T>
struct packing_kernels {
  void (*pack)(const pack_args<T>&) noexcept;
  void (*pack_few)(const pack_args<T>&) noexcept;  ///< for product_few, in blocks of tile_columns rows
  index_t tile_rows;
  index_t tile_columns;
  index_t lanes;  ///< of a vector
};

/// Activations of bf16, computed in T.
template <class T>
struct bf16_activation_kernels {
  void (*gather)(const gather_args<T, bf16>&) noexcept;
  void (*pack)(const pack_args<T, bf16>&) noexcept;
  void (*pack_few)(const pack_args<T, bf16>&) noexcept;
};

/// Kernels on one region form of a weight.
template <class Storage, class T>
struct region_kernels {
  void (*save)(const region_args<Storage, T>&) noexcept;           ///< originals = weight
  region_fault (*check)(const region_args<Storage, T>&) noexcept;  ///< is originals + Δ finite?
  void (*merge)(const region_args<Storage, T>&) noexcept;          ///< weight = originals + Δ
  void (*restore)(const region_args<Storage, T>&) noexcept;        ///< weight = originals
  /// save, merge and check in one pass over the weight. After a fault everything is saved and written
  /// too, and restore undoes it.
  region_fault (*take)(const region_args<Storage, T>&) noexcept;
};

/// The type that a weight of that storage is computed in.
template <class Storage>
using compute_of = std::conditional_t<std::is_same_v<Storage, double>, double, float>;

/// Merging into a weight of one storage type.
template <class Storage>
struct merge_kernels {
  region_kernels<Storage, compute_of<Storage>> columns;
  region_kernels<Storage, compute_of<Storage>> rows;
};

/// Products with a weight of one storage type.
template <class Storage>
struct product_kernels {
  using T = compute_of<Storage>;
  void (*product)(const product_args<Storage, T>&) noexcept;
  void (*product_few)(const product_args<Storage, T>&) noexcept;
  void (*stream)(const stream_args<Storage, T>&) noexcept;
};

/// The same of few tokens over 4-bit codes, rearranged for it: see stream_four_bit.inl. At levels that have it.
template <class T>
struct code_kernels {
  void (*arrange)(T* rows, index_t count) noexcept;
  void (*stream)(const stream_args<four_bit, T>&) noexcept;
  index_t group;  ///< of which depth and line length have to be multiples
};

/// Products of bf16 activations with a weight that is bf16 or, where it is quantised, becomes bf16 on pack.
template <class Storage>
struct pair_kernels {
  void (*pack)(const pack_args<bf16_pair, bf16>&) noexcept;
  void (*product)(const product_args<Storage, float, bf16_pair>&) noexcept;
  index_t tile_rows;   ///< of a strip
  index_t tile_depth;  ///< to a multiple of which the depth is padded
};

/// The storages that have them.
template <class Storage>
inline constexpr bool has_pairs = std::is_same_v<Storage, bf16> || std::is_same_v<Storage, four_bit> ||
                                  std::is_same_v<Storage, int8> || std::is_same_v<Storage, fp8>;

/// What scorers of columns and rows add up, in double.
template <class T>
struct score_kernels {
  void (*add_products)(const feature_sum_args<T>&) noexcept;
  void (*add_squares)(const token_sum_args<T>&) noexcept;
};

/// Products of activations as bytes with a weight's codes, in integers: see byte_product.inl. Their depth is along the
/// lines and a multiple of byte_group, of which scales and lines of 4-bit codes are too.
template <class Storage>
struct byte_kernels {
  void (*rows_of_f32)(const byte_rows_args<float>&) noexcept;
  void (*rows_of_bf16)(const byte_rows_args<bf16>&) noexcept;
  void (*stream)(const byte_product_args<Storage>&) noexcept;   ///< of few rows
  void (*product)(const byte_product_args<Storage>&) noexcept;  ///< the same bits; null where it isn't worth it
  index_t tile_columns;
};

/// The storages that have them.
template <class Storage>
inline constexpr bool has_bytes = std::is_same_v<Storage, four_bit> || std::is_same_v<Storage, int8>;

/// To 4-bit codes; returns the first element that isn't finite, or -1.
template <class T>
struct quantise_kernels {
  index_t (*four_bit)(const quantise_args&) noexcept;
};

/// Back to floats.
template <class Storage>
struct decode_kernels {
  void (*decode)(const decode_args<Storage>&) noexcept;
};

/// Conversions of `count` elements, to nearest even.
template <class T>
struct conversion_kernels {
  void (*widen_bf16)(const bf16*, T*, index_t count) noexcept;
  void (*widen_f16)(const f16*, T*, index_t count) noexcept;
  void (*narrow_bf16)(const T*, bf16*, index_t count) noexcept;
  void (*narrow_f16)(const T*, f16*, index_t count) noexcept;
};

/// Whether a level's kernels are compiled, asked as if it were a family: every level has it.
struct compiled_level {};

}  // namespace sbora::SBORA_KERNELS_ABI

// Every family with kernels, by the storage that it is for: what a program that compiles them once instantiates.
#define SBORA_KERNELS_OF_F32(FAMILY) \
  FAMILY(compiled_level)             \
  FAMILY(dense_kernels<float>)       \
  SBORA_STEPS_OF(float, FAMILY)      \
  FAMILY(adamw_8bit_kernels<float>)  \
  FAMILY(packing_kernels<float>)     \
  FAMILY(conversion_kernels<float>)  \
  FAMILY(merge_kernels<float>)       \
  FAMILY(product_kernels<float>)     \
  FAMILY(score_kernels<float>)       \
  FAMILY(decode_kernels<float>)
#define SBORA_KERNELS_OF_F64(FAMILY) \
  FAMILY(dense_kernels<double>)      \
  SBORA_STEPS_OF(double, FAMILY)     \
  FAMILY(packing_kernels<double>)    \
  FAMILY(merge_kernels<double>)      \
  FAMILY(product_kernels<double>)    \
  FAMILY(score_kernels<double>)
#define SBORA_KERNELS_OF_BF16(FAMILY)    \
  FAMILY(bf16_activation_kernels<float>) \
  FAMILY(merge_kernels<bf16>)            \
  FAMILY(product_kernels<bf16>)          \
  FAMILY(pair_kernels<bf16>)             \
  FAMILY(decode_kernels<bf16>)
#define SBORA_KERNELS_OF_F16(FAMILY) \
  FAMILY(merge_kernels<f16>)         \
  FAMILY(product_kernels<f16>)       \
  FAMILY(decode_kernels<f16>)
#define SBORA_KERNELS_OF_FOUR_BIT(FAMILY) \
  FAMILY(product_kernels<four_bit>)       \
  FAMILY(pair_kernels<four_bit>)          \
  FAMILY(code_kernels<float>)             \
  FAMILY(byte_kernels<four_bit>)          \
  FAMILY(decode_kernels<four_bit>)        \
  FAMILY(quantise_kernels<float>)
// Of codes of 8 bits, int8 and fp8: one list, so that a storage is no file and no target of its own.
#define SBORA_KERNELS_OF_INT8(FAMILY) \
  FAMILY(product_kernels<int8>)       \
  FAMILY(pair_kernels<int8>)          \
  FAMILY(byte_kernels<int8>)          \
  FAMILY(decode_kernels<int8>)        \
  FAMILY(product_kernels<fp8>)        \
  FAMILY(pair_kernels<fp8>)           \
  FAMILY(decode_kernels<fp8>)

#define SBORA_KERNELS_OF_GGML(FAMILY) \
  FAMILY(product_kernels<ggml>)       \
  FAMILY(decode_kernels<ggml>)

// Of each level, in a namespace of its name: table<Family>::entries where it has kernels of that family.
namespace sbora::inline SBORA_ABI::detail {
#define SBORA_DECLARE_TABLE(level) \
  namespace level {                \
  template <class Family>          \
  struct table;                    \
  }
SBORA_ISA_LEVELS(SBORA_DECLARE_TABLE)
#undef SBORA_DECLARE_TABLE
}  // namespace sbora::inline SBORA_ABI::detail

#if defined(SBORA_SEPARATE_KERNELS)

/// Part of the look-up's name, so that a linker that misses it says what to do.
#define SBORA_KERNELS_WHERE link_sbora_kernels_or_include_sbora_kernels_instances_hpp_in_one_unit

namespace sbora::SBORA_KERNELS_ABI::inline SBORA_KERNELS_WHERE {
/// find_kernels, defined where the kernels are: in instantiate.hpp.
template <class Family>
const Family* kernels_at(int level) noexcept;
}  // namespace sbora::SBORA_KERNELS_ABI::inline SBORA_KERNELS_WHERE

namespace sbora::inline SBORA_ABI::detail {
/// A family at a level, or null where that level or the program's kernels have none.
template <class Family>
const Family* find_kernels(isa level) noexcept {
  return kernels_at<Family>(static_cast<int>(level));
}
}  // namespace sbora::inline SBORA_ABI::detail

#else

#define SBORA_KERNELS_WHERE in_this_unit

namespace sbora::inline SBORA_ABI::detail {
/// A family at a level, or null where that level or this build has none. Defined in levels.hpp.
template <class Family>
const Family* find_kernels(isa level) noexcept;
}  // namespace sbora::inline SBORA_ABI::detail

#endif
