#pragma once

/// Target regions: functions between BEGIN and END are compiled for more than the unit's baseline.
///
/// Rules for code inside: no std::, no libc, no Eigen, no lambdas; helpers that take or return vectors
/// are force-inlined; entry points take pointers and integers. A library's inline function would be compiled for the
/// baseline there, or for the region and then be the copy that the linker keeps for everybody.
/// Feature lists only add to the command line's, so a region is always a superset of the baseline.
/// GCC's pragma defines the macros of its features, and SBORA_ABI (abi.hpp) would be another name: a region opens its
/// namespace as sbora::detail::LEVEL, without it, and so extends the one inside.
///
/// SBORA_SINGLE_TARGET compiles the baseline's own level alone, without regions: for units built with
/// -march=native, shorter compile times, or a compiler that mishandles the pragmas.

#include <sbora/simd/cpu.hpp>

#define SBORA_PRAGMA_(text) _Pragma(#text)
#define SBORA_PRAGMA(text) SBORA_PRAGMA_(text)

#if defined(SBORA_SINGLE_TARGET) || (defined(_MSC_VER) && !defined(__clang__))
#define SBORA_REGION_BEGIN(features)
#define SBORA_REGION_END
#elif defined(__clang__)
#define SBORA_REGION_BEGIN(features) \
  SBORA_PRAGMA(clang attribute push(__attribute__((target(features))), apply_to = function))
#define SBORA_REGION_END SBORA_PRAGMA(clang attribute pop)
#else
#define SBORA_REGION_BEGIN(features) \
  SBORA_PRAGMA(GCC push_options)     \
  SBORA_PRAGMA(GCC target(features))
#define SBORA_REGION_END SBORA_PRAGMA(GCC pop_options)
#endif

#define SBORA_AVX2_BEGIN SBORA_REGION_BEGIN("avx2,fma,f16c")
#define SBORA_AVX2_END SBORA_REGION_END

// GCC 12's own AVX-512 headers start from `__m512 y = y`, and its -Wuninitialized and -Wmaybe-uninitialized
// blame the caller (GCC PR 105593). At -O0 they are macros, and their signs of masks are the caller's too.
#if defined(__GNUC__) && !defined(__clang__)
#define SBORA_AVX512_WARNINGS_BEGIN                            \
  SBORA_PRAGMA(GCC diagnostic push)                            \
  SBORA_PRAGMA(GCC diagnostic ignored "-Wuninitialized")       \
  SBORA_PRAGMA(GCC diagnostic ignored "-Wmaybe-uninitialized") \
  SBORA_PRAGMA(GCC diagnostic ignored "-Wsign-conversion")
#define SBORA_AVX512_WARNINGS_END SBORA_PRAGMA(GCC diagnostic pop)
#else
#define SBORA_AVX512_WARNINGS_BEGIN
#define SBORA_AVX512_WARNINGS_END
#endif

// 512-bit registers are a feature of their own (evex512) in some compiler releases only.
#if (defined(__clang__) && __clang_major__ >= 18 && __clang_major__ < 22) || \
    (!defined(__clang__) && defined(__GNUC__) && __GNUC__ >= 14 && __GNUC__ < 16)
#define SBORA_AVX512_FEATURES "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,evex512"
#else
#define SBORA_AVX512_FEATURES "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl"
#endif
#define SBORA_AVX512_BF16_BEGIN \
  SBORA_AVX512_WARNINGS_BEGIN   \
  SBORA_REGION_BEGIN(SBORA_AVX512_FEATURES ",avx512bf16,avx512vnni")
#define SBORA_AVX512_BF16_END SBORA_REGION_END SBORA_AVX512_WARNINGS_END
#define SBORA_AVX512_AMX_BEGIN \
  SBORA_AVX512_WARNINGS_BEGIN  \
  SBORA_REGION_BEGIN(SBORA_AVX512_FEATURES ",avx512bf16,avx512vnni,amx-tile,amx-bf16")
#define SBORA_AVX512_AMX_END SBORA_REGION_END SBORA_AVX512_WARNINGS_END
#define SBORA_AVX512_BEGIN SBORA_AVX512_WARNINGS_BEGIN SBORA_REGION_BEGIN(SBORA_AVX512_FEATURES)
#define SBORA_AVX512_END SBORA_REGION_END SBORA_AVX512_WARNINGS_END

// Which levels this unit compiles.
#if defined(SBORA_X86) && !defined(SBORA_SINGLE_TARGET)
#define SBORA_HAS_AVX2 1
#define SBORA_HAS_AVX512 1
#define SBORA_HAS_AVX512_BF16 1
#define SBORA_HAS_AVX512_AMX 1
#elif defined(SBORA_X86)
#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
#define SBORA_HAS_AVX512 1
#if defined(__AVX512BF16__) && defined(__AVX512VNNI__)
#define SBORA_HAS_AVX512_BF16 1
#if defined(__AMX_TILE__) && defined(__AMX_BF16__)
#define SBORA_HAS_AVX512_AMX 1
#endif
#endif
#elif defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#define SBORA_HAS_AVX2 1
#endif
#endif
