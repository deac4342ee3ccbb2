#pragma once

#include <sbora/core/abi.hpp>
#include <sbora/core/compiler.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// Keeps the compiler from contracting a product and the sum that follows into one fma, as it may do in
/// one copy of an inlined loop and not in the next.
template <class T>
SBORA_FORCE_INLINE T opaque(T value) noexcept {
#if defined(__x86_64__)
  __asm__("" : "+x"(value));
#elif defined(__aarch64__)
  __asm__("" : "+w"(value));
#else
  volatile T kept = value;
  value = kept;
#endif
  return value;
}

/// a·b + c rounded once, where the level's vectors do that too: by name, since compilers differ in which sums they
/// fuse.
SBORA_FORCE_INLINE float fused(float a, float b, float c) noexcept { return __builtin_fmaf(a, b, c); }
SBORA_FORCE_INLINE double fused(double a, double b, double c) noexcept { return __builtin_fma(a, b, c); }

}  // namespace sbora::inline SBORA_ABI::detail
