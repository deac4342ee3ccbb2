#pragma once

/// The inline namespace that every sbora name lives in.
///
/// A header-only library is compiled once per translation unit, with that unit's flags. If two units
/// with different flags used the same symbol names, the linker would keep one copy, maybe the one full
/// of AVX instructions, for both. So what decides about the code is part of the name: version,
/// baseline instruction set, fast-math, and whether assertions are on. Mixing such units is fine as
/// long as no sbora type crosses the border; a type that does fails at link time, not with SIGILL.

#include <sbora/config/language.hpp>
#include <sbora/version.hpp>

#if defined(__AVX512BF16__)
#define SBORA_ABI_BASELINE avx512bf16
#elif defined(__AVX512F__)
#define SBORA_ABI_BASELINE avx512
#elif defined(__AVX2__) && defined(__FMA__)
#define SBORA_ABI_BASELINE avx2
#elif defined(__AVX__) && defined(__FMA__)
#define SBORA_ABI_BASELINE avx_fma
#elif defined(__AVX__)
#define SBORA_ABI_BASELINE avx
#elif defined(__SSE4_1__)
#define SBORA_ABI_BASELINE sse4
#elif defined(__aarch64__)
#define SBORA_ABI_BASELINE neon
#else
#define SBORA_ABI_BASELINE base
#endif

#if defined(__FAST_MATH__)
#define SBORA_ABI_MATH fast
#else
#define SBORA_ABI_MATH ieee
#endif

#if defined(SBORA_ASSERT)
#define SBORA_ABI_CHECKS user
#elif defined(NDEBUG)
#define SBORA_ABI_CHECKS unchecked
#else
#define SBORA_ABI_CHECKS checked
#endif

#if defined(SBORA_SINGLE_TARGET)
#define SBORA_ABI_TARGET single
#else
#define SBORA_ABI_TARGET multi
#endif

#define SBORA_ABI_JOIN_(major, minor, baseline, math, checks, target) \
  v##major##_##minor##_##baseline##_##math##_##checks##_##target
#define SBORA_ABI_JOIN(major, minor, baseline, math, checks, target) \
  SBORA_ABI_JOIN_(major, minor, baseline, math, checks, target)

#define SBORA_ABI                                                                            \
  SBORA_ABI_JOIN(SBORA_VERSION_MAJOR, SBORA_VERSION_MINOR, SBORA_ABI_BASELINE, SBORA_ABI_MATH, \
                 SBORA_ABI_CHECKS, SBORA_ABI_TARGET)

namespace sbora::inline SBORA_ABI {}
