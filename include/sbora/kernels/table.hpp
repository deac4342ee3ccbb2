#pragma once

#include <type_traits>

#include <sbora/kernels/arguments.hpp>
#include <sbora/simd/isa.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// Kernels on activations, gradients and optimiser state.
template <class T>
struct dense_kernels {
  void (*gather)(const gather_args<T>&) noexcept;
  void (*scatter_add)(const scatter_args<T>&) noexcept;
  void (*dropout)(const dropout_args<T>&) noexcept;
  void (*adamw)(const adamw_args<T>&) noexcept;
  void (*sgd)(const sgd_args<T>&) noexcept;
  void (*pack)(const pack_args<T>&) noexcept;
  index_t tile_rows;
  index_t tile_columns;
};

/// Kernels on one region form of a weight.
template <class Storage, class T>
struct region_kernels {
  void (*save)(const region_args<Storage, T>&) noexcept;      ///< originals = weight
  region_fault (*check)(const region_args<Storage, T>&) noexcept;  ///< is originals + Δ finite?
  void (*merge)(const region_args<Storage, T>&) noexcept;     ///< weight = originals + Δ
  void (*restore)(const region_args<Storage, T>&) noexcept;   ///< weight = originals
};

/// Kernels on a weight of one storage type.
template <class Storage, class T>
struct weight_kernels {
  region_kernels<Storage, T> columns;
  region_kernels<Storage, T> rows;
  void (*product)(const product_args<Storage, T>&) noexcept;
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
