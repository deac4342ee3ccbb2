#pragma once

#include <sbora/kernels/avx2.hpp>
#include <sbora/kernels/avx512.hpp>
#include <sbora/kernels/avx512_amx.hpp>
#include <sbora/kernels/avx512_bf16.hpp>
#include <sbora/kernels/neon.hpp>
#include <sbora/kernels/scalar.hpp>

/// The kernels of every level that this unit compiles, and the look-up over them.
namespace sbora::inline SBORA_ABI::detail {

#define SBORA_FIND_AT(name)                                       \
  if constexpr (requires { name::table<Family>::entries; }) {     \
    if (level == isa::name) return &name::table<Family>::entries; \
  }
template <class Family>
const Family* compiled_kernels(isa level) noexcept {
  SBORA_ISA_LEVELS(SBORA_FIND_AT)
  return nullptr;
}
#undef SBORA_FIND_AT

#if !defined(SBORA_SEPARATE_KERNELS)
template <class Family>
const Family* find_kernels(isa level) noexcept {
  return compiled_kernels<Family>(level);
}
#endif

}  // namespace sbora::inline SBORA_ABI::detail
