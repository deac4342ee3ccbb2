#pragma once

#include <sbora/config/abi.hpp>
#include <sbora/config/compiler.hpp>

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

}  // namespace sbora::inline SBORA_ABI::detail
