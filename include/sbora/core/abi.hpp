#pragma once

/// The inline namespace that every sbora name lives in.
///
/// A header-only library is compiled once per translation unit, with that unit's flags. If two units with different
/// flags used the same symbol names, the linker would keep one copy, maybe the one full of AVX instructions, for both.
/// So what changes code is part of the name: the version; each instruction set that the compiler may use unasked; each
/// part of fast-math; how the standard library lays out its types; assertions. Mixing such units is fine as long as no
/// sbora type crosses the border; a type that does fails at link time, not with SIGILL.
///
/// v0_1_ INSTRUCTIONS _ MODES _ CHECKS, where the first two are hexadecimal digits for four macros each, the first of
/// them 8. tests/odr tries every option of the compiler: what is announced by a macro must be in here or be harmless.
/// Where a pragma changes the target, macros change too: regions are in a namespace that is open already (target.hpp).

#include <cstddef>  // the standard library's own macros

#include <sbora/core/language.hpp>
#include <sbora/version.hpp>

// 1 for a macro that is 1 or empty, 0 for one that is something else or not defined.
#define SBORA_ABI_SECOND(first, second, ...) second
#define SBORA_ABI_IS_SET(probe) SBORA_ABI_SECOND(probe, 0, ~)
#define SBORA_ABI_PROBE_ ~, 1
#define SBORA_ABI_PROBE_1 ~, 1
#define SBORA_ABI_BIT(macro) SBORA_ABI_IS_SET(SBORA_ABI_PROBE_##macro)

#define SBORA_ABI_HEX_0000 0
#define SBORA_ABI_HEX_0001 1
#define SBORA_ABI_HEX_0010 2
#define SBORA_ABI_HEX_0011 3
#define SBORA_ABI_HEX_0100 4
#define SBORA_ABI_HEX_0101 5
#define SBORA_ABI_HEX_0110 6
#define SBORA_ABI_HEX_0111 7
#define SBORA_ABI_HEX_1000 8
#define SBORA_ABI_HEX_1001 9
#define SBORA_ABI_HEX_1010 a
#define SBORA_ABI_HEX_1011 b
#define SBORA_ABI_HEX_1100 c
#define SBORA_ABI_HEX_1101 d
#define SBORA_ABI_HEX_1110 e
#define SBORA_ABI_HEX_1111 f
#define SBORA_ABI_HEX_(a, b, c, d) SBORA_ABI_HEX_##a##b##c##d
#define SBORA_ABI_HEX(a, b, c, d) SBORA_ABI_HEX_(a, b, c, d)
#define SBORA_ABI_DIGIT(a, b, c, d) \
  SBORA_ABI_HEX(SBORA_ABI_BIT(a), SBORA_ABI_BIT(b), SBORA_ABI_BIT(c), SBORA_ABI_BIT(d))

#define SBORA_ABI_JOIN_3_(a, b, c) a##b##c
#define SBORA_ABI_JOIN_3(a, b, c) SBORA_ABI_JOIN_3_(a, b, c)
#define SBORA_ABI_JOIN_6_(a, b, c, d, e, f) a##b##c##d##e##f
#define SBORA_ABI_JOIN_6(a, b, c, d, e, f) SBORA_ABI_JOIN_6_(a, b, c, d, e, f)

#if defined(__x86_64__) || defined(_M_X64) || defined(__i386__)

#define SBORA_ABI_SSE                                                                      \
  SBORA_ABI_JOIN_6(SBORA_ABI_DIGIT(__MMX__, __SSE__, __SSE2__, __SSE2_MATH__),             \
                   SBORA_ABI_DIGIT(__SSE3__, __SSSE3__, __SSE4_1__, __SSE4_2__),           \
                   SBORA_ABI_DIGIT(__SSE4A__, __POPCNT__, __LZCNT__, __ABM__),             \
                   SBORA_ABI_DIGIT(__BMI__, __BMI2__, __TBM__, __ADX__),                   \
                   SBORA_ABI_DIGIT(__MOVBE__, __PRFCHW__, __PREFETCHWT1__, __LAHF_SAHF__), \
                   SBORA_ABI_DIGIT(__GCC_HAVE_SYNC_COMPARE_AND_SWAP_16, __3dNOW__, __3dNOW_A__, __CRC32__))
#define SBORA_ABI_AVX                                                                                      \
  SBORA_ABI_JOIN_6(SBORA_ABI_DIGIT(__AVX__, __F16C__, __FMA__, __FMA4__),                                  \
                   SBORA_ABI_DIGIT(__AVX2__, __XOP__, __PCLMUL__, __VPCLMULQDQ__),                         \
                   SBORA_ABI_DIGIT(__AVX512F__, __AVX512CD__, __AVX512BW__, __AVX512DQ__),                 \
                   SBORA_ABI_DIGIT(__AVX512VL__, __AVX512IFMA__, __AVX512VBMI__, __AVX512VBMI2__),         \
                   SBORA_ABI_DIGIT(__AVX512VNNI__, __AVX512BITALG__, __AVX512VPOPCNTDQ__, __AVX512BF16__), \
                   SBORA_ABI_DIGIT(__AVX512FP16__, __AVX512VP2INTERSECT__, __AVX512ER__, __AVX512PF__))
#define SBORA_ABI_LATER                                                                                 \
  SBORA_ABI_JOIN_6(SBORA_ABI_DIGIT(__AVX5124FMAPS__, __AVX5124VNNIW__, __GFNI__, __AVXVNNI__),          \
                   SBORA_ABI_DIGIT(__AVXIFMA__, __AVXVNNIINT8__, __AVXVNNIINT16__, __AVXNECONVERT__),   \
                   SBORA_ABI_DIGIT(__CMPCCXADD__, __EVEX512__, __AVX10_1__, __AVX10_2__),               \
                   SBORA_ABI_DIGIT(__AVX10_1_256__, __AVX10_1_512__, __AVX10_2_256__, __AVX10_2_512__), \
                   SBORA_ABI_DIGIT(__APX_F__, __EGPR__, __NDD__, __NF__),                               \
                   SBORA_ABI_DIGIT(__CCMP__, __ZU__, __PUSH2POP2__, __PPX__))
#define SBORA_ABI_INSTRUCTIONS SBORA_ABI_JOIN_3(SBORA_ABI_SSE, SBORA_ABI_AVX, SBORA_ABI_LATER)

#elif defined(__aarch64__)

#if defined(__ARM_FEATURE_SVE_BITS)
#define SBORA_ABI_SVE_BITS __ARM_FEATURE_SVE_BITS
#else
#define SBORA_ABI_SVE_BITS 0
#endif
#if defined(__ARM_FEATURE_RCPC)
#define SBORA_ABI_RCPC __ARM_FEATURE_RCPC
#else
#define SBORA_ABI_RCPC 0
#endif
#define SBORA_ABI_ARM                                                                                          \
  SBORA_ABI_JOIN_6(                                                                                            \
      SBORA_ABI_DIGIT(__ARM_FEATURE_CRC32, __ARM_FEATURE_ATOMICS, __ARM_FEATURE_QRDMX, __ARM_FEATURE_DOTPROD), \
      SBORA_ABI_DIGIT(__ARM_FEATURE_FP16_SCALAR_ARITHMETIC, __ARM_FEATURE_FP16_VECTOR_ARITHMETIC,              \
                      __ARM_FEATURE_FP16_FML, __ARM_FEATURE_BF16_VECTOR_ARITHMETIC),                           \
      SBORA_ABI_DIGIT(__ARM_FEATURE_BF16_SCALAR_ARITHMETIC, __ARM_FEATURE_MATMUL_INT8, __ARM_FEATURE_COMPLEX,  \
                      __ARM_FEATURE_JCVT),                                                                     \
      SBORA_ABI_DIGIT(__ARM_FEATURE_FRINT, __ARM_FEATURE_AES, __ARM_FEATURE_SHA3, __ARM_FEATURE_SHA512),       \
      SBORA_ABI_DIGIT(__ARM_FEATURE_MOPS, __ARM_FEATURE_CSSC, __ARM_FEATURE_LSE128, __ARM_FEATURE_FAMINMAX),   \
      SBORA_ABI_DIGIT(__ARM_FEATURE_UNALIGNED, __ARM_FEATURE_PAUTH, __ARM_FEATURE_PAUTH_LR, __ARM_FEATURE_LUT))
#define SBORA_ABI_SVE                                                                                            \
  SBORA_ABI_JOIN_6(                                                                                              \
      SBORA_ABI_DIGIT(__ARM_FEATURE_SVE, __ARM_FEATURE_SVE2, __ARM_FEATURE_SVE2p1, __ARM_FEATURE_SVE2p2),        \
      SBORA_ABI_DIGIT(__ARM_FEATURE_SVE_BF16, __ARM_FEATURE_SVE_MATMUL_INT8, __ARM_FEATURE_SVE_MATMUL_FP32,      \
                      __ARM_FEATURE_SVE_MATMUL_FP64),                                                            \
      SBORA_ABI_DIGIT(__ARM_FEATURE_SVE2_BITPERM, __ARM_FEATURE_SVE2_AES, __ARM_FEATURE_SVE2_SHA3,               \
                      __ARM_FEATURE_SVE2_SM4),                                                                   \
      SBORA_ABI_DIGIT(__ARM_FEATURE_SVE_B16B16, __ARM_FEATURE_SME, __ARM_FEATURE_SME2, __ARM_FEATURE_SME2p1), s, \
      SBORA_ABI_SVE_BITS)
#define SBORA_ABI_INSTRUCTIONS SBORA_ABI_JOIN_6(SBORA_ABI_ARM, SBORA_ABI_SVE, a, __ARM_ARCH, r, SBORA_ABI_RCPC)

#else  // not told apart
#define SBORA_ABI_INSTRUCTIONS other
#endif

#if defined(SBORA_SINGLE_TARGET)
#define SBORA_ABI_SINGLE 1
#else
#define SBORA_ABI_SINGLE 0
#endif
#define SBORA_ABI_MODES                                                                                                \
  SBORA_ABI_JOIN_3(                                                                                                    \
      SBORA_ABI_DIGIT(__FAST_MATH__, __FINITE_MATH_ONLY__, __NO_MATH_ERRNO__, __NO_SIGNED_ZEROS__),                    \
      SBORA_ABI_DIGIT(__NO_TRAPPING_MATH__, __ASSOCIATIVE_MATH__, __RECIPROCAL_MATH__, __ROUNDING_MATH__),             \
      SBORA_ABI_JOIN_3(, SBORA_ABI_DIGIT(__SUPPORT_SNAN__, __CHAR_UNSIGNED__, _GLIBCXX_DEBUG, _GLIBCXX_USE_CXX11_ABI), \
                       SBORA_ABI_DIGIT(_LIBCPP_ABI_VERSION, SBORA_ABI_SINGLE, __AMX_TILE__, __AMX_BF16__)))

#if defined(SBORA_ASSERT)
#define SBORA_ABI_CHECKS user
#elif defined(NDEBUG)
#define SBORA_ABI_CHECKS off
#else
#define SBORA_ABI_CHECKS on
#endif

#define SBORA_ABI_NAME_(major, minor, instructions, modes, checks) \
  v##major##_##minor##_##instructions##_##modes##_##checks
#define SBORA_ABI_NAME(major, minor, instructions, modes, checks) \
  SBORA_ABI_NAME_(major, minor, instructions, modes, checks)

#define SBORA_ABI \
  SBORA_ABI_NAME(SBORA_VERSION_MAJOR, SBORA_VERSION_MINOR, SBORA_ABI_INSTRUCTIONS, SBORA_ABI_MODES, SBORA_ABI_CHECKS)

/// Kernels and those who call them share plain data and no code, in a namespace that says the version alone: a program
/// may link kernels that were compiled with other flags than its own (kernels/instances.hpp).
#define SBORA_KERNELS_ABI_NAME_(major, minor) kernels_v##major##_##minor
#define SBORA_KERNELS_ABI_NAME(major, minor) SBORA_KERNELS_ABI_NAME_(major, minor)
#define SBORA_KERNELS_ABI SBORA_KERNELS_ABI_NAME(SBORA_VERSION_MAJOR, SBORA_VERSION_MINOR)

namespace sbora::SBORA_KERNELS_ABI {}

namespace sbora::inline SBORA_ABI::detail {
using namespace SBORA_KERNELS_ABI;
}
