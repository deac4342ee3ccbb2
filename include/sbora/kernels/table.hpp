#pragma once

#include <type_traits>

#include <sbora/kernels/arguments.hpp>
#include <sbora/simd/isa.hpp>

namespace sbora::inline SBORA_ABI::detail {

// One table per family, and within it per type: a unit compiles the families that it uses, at every level,
// and no others. (A merger that also compiled the products took three times as long.)

/// Kernels on activations and their gradients.
template <class T>
struct dense_kernels {
  void (*gather)(const gather_args<T>&) noexcept;
  void (*gather_bf16)(const gather_args<T, bf16>&) noexcept;
  void (*scatter_add)(const scatter_args<T>&) noexcept;
  void (*dropout)(const dropout_args<T>&) noexcept;
};

/// Steps on flat spans of parameters.
template <class T>
struct optimiser_kernels {
  void (*adamw)(const adamw_args<T>&) noexcept;
  void (*sgd)(const sgd_args<T>&) noexcept;
};

/// The same with moments in 8 bits.
struct adamw_8bit_kernels {
  void (*step)(const adamw_8bit_args&) noexcept;
};

/// What a product's left operand is packed with, and for which tiles.
template <class T>
struct packing_kernels {
  void (*pack)(const pack_args<T>&) noexcept;
  void (*pack_bf16)(const pack_args<T, bf16>&) noexcept;
  void (*pack_few)(const pack_args<T>&) noexcept;  ///< for product_few, in blocks of tile_columns rows
  void (*pack_few_bf16)(const pack_args<T, bf16>&) noexcept;  ///< null for double
  index_t tile_rows;
  index_t tile_columns;
  index_t lanes;  ///< of a vector
};

/// Kernels on one region form of a weight.
template <class Storage, class T>
struct region_kernels {
  void (*save)(const region_args<Storage, T>&) noexcept;      ///< originals = weight
  region_fault (*check)(const region_args<Storage, T>&) noexcept;  ///< is originals + Δ finite?
  void (*merge)(const region_args<Storage, T>&) noexcept;     ///< weight = originals + Δ
  void (*restore)(const region_args<Storage, T>&) noexcept;   ///< weight = originals
  /// save, merge and check in one pass over the weight. After a fault everything is saved and written
  /// too, and restore undoes it.
  region_fault (*take)(const region_args<Storage, T>&) noexcept;
};

/// Merging into a weight of one storage type.
template <class Storage, class T>
struct merge_kernels {
  region_kernels<Storage, T> columns;
  region_kernels<Storage, T> rows;
};

/// Products with a weight of one storage type.
template <class Storage, class T>
struct product_kernels {
  void (*product)(const product_args<Storage, T>&) noexcept;
  void (*product_few)(const product_args<Storage, T>&) noexcept;
  void (*stream)(const stream_args<Storage, T>&) noexcept;
};

/// The same of few tokens over 4-bit codes, rearranged for it: see stream_four_bit.inl. At levels that have it.
struct code_kernels {
  void (*arrange)(float* rows, index_t count) noexcept;
  void (*stream)(const stream_args<four_bit, float>&) noexcept;
  index_t group;  ///< of which depth and line length have to be multiples
};

/// Products of bf16 activations with a weight that is bf16 or, where it is quantised, becomes bf16 on pack.
template <class Storage>
struct pair_kernels {
  void (*pack)(const pack_args<bf16_pair, bf16>&) noexcept;
  void (*product)(const product_args<Storage, float, bf16_pair>&) noexcept;
};

/// The storages that have them.
template <class Storage>
inline constexpr bool has_pairs =
    std::is_same_v<Storage, bf16> || std::is_same_v<Storage, four_bit> || std::is_same_v<Storage, int8>;

/// To 4-bit codes; returns the first element that isn't finite, or -1.
struct quantise_kernels {
  index_t (*four_bit)(const quantise_args&) noexcept;
};

/// Back to floats.
template <class Storage>
struct decode_kernels {
  void (*decode)(const decode_args<Storage>&) noexcept;
};

/// Conversions of `count` elements, to nearest even.
struct conversion_kernels {
  void (*widen_bf16)(const bf16*, float*, index_t count) noexcept;
  void (*widen_f16)(const f16*, float*, index_t count) noexcept;
  void (*narrow_bf16)(const float*, bf16*, index_t count) noexcept;
  void (*narrow_f16)(const float*, f16*, index_t count) noexcept;
};

/// The type that a weight of that storage is computed in.
template <class Storage>
using compute_of = std::conditional_t<std::is_same_v<Storage, double>, double, float>;

}  // namespace sbora::inline SBORA_ABI::detail
