#pragma once

#include <atomic>
#include <cstdlib>

#include <sbora/kernels/avx2.hpp>
#include <sbora/kernels/avx512_bf16.hpp>
#include <sbora/kernels/neon.hpp>
#include <sbora/kernels/scalar.hpp>

namespace sbora::inline SBORA_ABI::detail {

// The levels that this unit compiles kernels for, besides scalar.
#if defined(SBORA_NEON)
#define SBORA_IF_NEON(code) code
#else
#define SBORA_IF_NEON(code)
#endif
#if defined(SBORA_HAS_AVX512)
#define SBORA_IF_AVX512(code) code
#else
#define SBORA_IF_AVX512(code)
#endif
#if defined(SBORA_HAS_AVX2)
#define SBORA_IF_AVX2(code) code
#else
#define SBORA_IF_AVX2(code)
#endif

/// One kind of table at a supported level. avx512_bf16 shares the avx512
/// kernels; what it adds are the pair_kernels.
#define SBORA_TABLE_AT(level, kind)                                                           \
  SBORA_IF_NEON(if ((level) == isa::neon) return neon::kind::entries;)                        \
  SBORA_IF_AVX512(if ((level) == isa::avx512 || (level) == isa::avx512_bf16) return avx512::kind::entries;) \
  SBORA_IF_AVX2(if ((level) == isa::avx2) return avx2::kind::entries;)                        \
  static_cast<void>(level);                                                                   \
  return scalar::kind::entries

constexpr bool is_compiled(isa level) noexcept {
  SBORA_IF_NEON(if (level == isa::neon) return true;)
  SBORA_IF_AVX512(if (level == isa::avx512 || level == isa::avx512_bf16) return true;)
  SBORA_IF_AVX2(if (level == isa::avx2) return true;)
  return level == isa::scalar;
}

template <class T>
const dense_kernels<T>& dense_kernels_at(isa level) noexcept {
  SBORA_TABLE_AT(level, dense_table<T>);
}

template <class T>
const optimiser_kernels<T>& optimiser_kernels_at(isa level) noexcept {
  SBORA_TABLE_AT(level, optimiser_table<T>);
}

template <class T = float>
const adamw_8bit_kernels& adamw_8bit_kernels_at(isa level) noexcept {
  SBORA_TABLE_AT(level, adamw_8bit_table<T>);
}

template <class T>
const packing_kernels<T>& packing_kernels_at(isa level) noexcept {
  SBORA_TABLE_AT(level, packing_table<T>);
}

template <class Storage>
const merge_kernels<Storage, compute_of<Storage>>& merge_kernels_at(isa level) noexcept {
  SBORA_TABLE_AT(level, merge_table<Storage>);
}

template <class Storage>
const product_kernels<Storage, compute_of<Storage>>& product_kernels_at(isa level) noexcept {
  SBORA_TABLE_AT(level, product_table<Storage>);
}

template <class T = float>
const quantise_kernels& quantise_kernels_at(isa level) noexcept {
  SBORA_TABLE_AT(level, quantise_table<T>);
}

template <class Storage>
const decode_kernels<Storage>& decode_kernels_at(isa level) noexcept {
  SBORA_TABLE_AT(level, decode_table<Storage>);
}

template <class T = float>
const conversion_kernels& conversion_kernels_at(isa level) noexcept {
  SBORA_TABLE_AT(level, conversion_table<T>);
}

/// Null at levels that have none.
template <class T = float>
const code_kernels* code_kernels_at(isa level) noexcept {
#if defined(SBORA_HAS_AVX512)
  if (level == isa::avx512 || level == isa::avx512_bf16) return &avx512::code_table<T>::entries;
#endif
  static_cast<void>(level);
  return nullptr;
}

/// Null at levels that have none.
template <class Storage>
const pair_kernels<Storage>* pair_kernels_at(isa level) noexcept {
#if defined(SBORA_HAS_AVX512_BF16)
  if (level == isa::avx512_bf16) return &avx512::pair_table<Storage>::entries;
#endif
  static_cast<void>(level);
  return nullptr;
}

/// The kernels of every type that has them, instantiated (instances.hpp) or, with `extern` before, said to be so in
/// another unit.
#define SBORA_KERNEL_INSTANCES(linkage)                                                                             \
  linkage template const dense_kernels<float>& dense_kernels_at<float>(isa) noexcept;                               \
  linkage template const dense_kernels<double>& dense_kernels_at<double>(isa) noexcept;                             \
  linkage template const optimiser_kernels<float>& optimiser_kernels_at<float>(isa) noexcept;                       \
  linkage template const optimiser_kernels<double>& optimiser_kernels_at<double>(isa) noexcept;                     \
  linkage template const adamw_8bit_kernels& adamw_8bit_kernels_at<float>(isa) noexcept;                            \
  linkage template const packing_kernels<float>& packing_kernels_at<float>(isa) noexcept;                           \
  linkage template const packing_kernels<double>& packing_kernels_at<double>(isa) noexcept;                         \
  linkage template const merge_kernels<float, float>& merge_kernels_at<float>(isa) noexcept;                        \
  linkage template const merge_kernels<double, double>& merge_kernels_at<double>(isa) noexcept;                     \
  linkage template const merge_kernels<bf16, float>& merge_kernels_at<bf16>(isa) noexcept;                          \
  linkage template const merge_kernels<f16, float>& merge_kernels_at<f16>(isa) noexcept;                            \
  linkage template const product_kernels<float, float>& product_kernels_at<float>(isa) noexcept;                    \
  linkage template const product_kernels<double, double>& product_kernels_at<double>(isa) noexcept;                 \
  linkage template const product_kernels<bf16, float>& product_kernels_at<bf16>(isa) noexcept;                      \
  linkage template const product_kernels<f16, float>& product_kernels_at<f16>(isa) noexcept;                        \
  linkage template const product_kernels<four_bit, float>& product_kernels_at<four_bit>(isa) noexcept;              \
  linkage template const product_kernels<int8, float>& product_kernels_at<int8>(isa) noexcept;                      \
  linkage template const quantise_kernels& quantise_kernels_at<float>(isa) noexcept;                                \
  linkage template const decode_kernels<float>& decode_kernels_at<float>(isa) noexcept;                             \
  linkage template const decode_kernels<bf16>& decode_kernels_at<bf16>(isa) noexcept;                               \
  linkage template const decode_kernels<f16>& decode_kernels_at<f16>(isa) noexcept;                                 \
  linkage template const decode_kernels<four_bit>& decode_kernels_at<four_bit>(isa) noexcept;                       \
  linkage template const decode_kernels<int8>& decode_kernels_at<int8>(isa) noexcept;                               \
  linkage template const conversion_kernels& conversion_kernels_at<float>(isa) noexcept;                            \
  linkage template const code_kernels* code_kernels_at<float>(isa) noexcept;                                        \
  linkage template const pair_kernels<bf16>* pair_kernels_at<bf16>(isa) noexcept;                                   \
  linkage template const pair_kernels<four_bit>* pair_kernels_at<four_bit>(isa) noexcept;                           \
  linkage template const pair_kernels<int8>* pair_kernels_at<int8>(isa) noexcept

#if defined(SBORA_SEPARATE_KERNELS)
SBORA_KERNEL_INSTANCES(extern);
#endif

#undef SBORA_TABLE_AT
#undef SBORA_IF_NEON
#undef SBORA_IF_AVX512
#undef SBORA_IF_AVX2

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

/// Whether kernels of `level` are compiled into this unit and can run on this machine.
inline bool is_supported(isa level) noexcept {
  if (!detail::is_compiled(level)) return false;
  if (level == isa::scalar) return true;
  if (level == isa::neon || detected_isa() == isa::neon) return level == detected_isa();
  return level <= detected_isa();
}

}  // namespace sbora::inline SBORA_ABI

namespace sbora::inline SBORA_ABI::detail {

/// The best level that is supported.
inline isa best_isa() noexcept {
  for (const isa level : {isa::neon, isa::avx512_bf16, isa::avx512, isa::avx2}) {
    if (is_supported(level)) return level;
  }
  return isa::scalar;
}

/// The level in use plus one; 0 before the first use.
inline std::atomic<int> active_level{0};

inline isa choose_level(isa level) {
  if (!is_supported(level)) {
    throw config_error(std::string("sbora: instruction set ") + to_string(level) +
                       " was asked for, the best of this machine and build is " +
                       to_string(best_isa()));
  }
  active_level.store(static_cast<int>(level) + 1, std::memory_order_relaxed);
  return level;
}

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

/// The level in use: the best that this machine has, unless the environment variable SBORA_FORCE_ISA
/// (read at first use) or force_isa names another.
/// Errors      config_error where SBORA_FORCE_ISA is unknown or not supported here.
inline isa active_isa() {
  const int level = detail::active_level.load(std::memory_order_relaxed);
  if (level != 0) return static_cast<isa>(level - 1);
  const char* forced = std::getenv("SBORA_FORCE_ISA");
  return detail::choose_level(forced != nullptr ? isa_from_string(forced) : detail::best_isa());
}

/// Uses the kernels of `level` from now on, for tests and for equal results on different machines.
///
/// Requires    is_supported(level).
/// Thread      Call it while no other sbora call runs.
/// Errors      config_error that names both levels; nothing changes.
inline void force_isa(isa level) { detail::choose_level(level); }

}  // namespace sbora::inline SBORA_ABI

namespace sbora::inline SBORA_ABI::detail {

template <class T>
const dense_kernels<T>& dense_kernels_now() {
  return dense_kernels_at<T>(active_isa());
}

template <class T>
const optimiser_kernels<T>& optimiser_kernels_now() {
  return optimiser_kernels_at<T>(active_isa());
}

template <class T>
const packing_kernels<T>& packing_kernels_now() {
  return packing_kernels_at<T>(active_isa());
}

template <class Storage>
const merge_kernels<Storage, compute_of<Storage>>& merge_kernels_now() {
  return merge_kernels_at<Storage>(active_isa());
}

template <class Storage>
const product_kernels<Storage, compute_of<Storage>>& product_kernels_now() {
  return product_kernels_at<Storage>(active_isa());
}

}  // namespace sbora::inline SBORA_ABI::detail
