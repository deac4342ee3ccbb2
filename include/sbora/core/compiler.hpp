#pragma once

/// Spellings that differ between compilers. Internal; nothing here is part of the interface.

#if defined(__GNUC__) || defined(__clang__)
#define SBORA_FORCE_INLINE inline __attribute__((always_inline))
#define SBORA_NO_INLINE __attribute__((noinline))
/// Of what is done once a program or never, as making messages: made small, which takes less time to compile.
#define SBORA_COLD __attribute__((noinline, cold))
#define SBORA_RESTRICT __restrict__
/// 16-bit storage types are read through pointers to Eigen's or another library's own types.
#define SBORA_MAY_ALIAS __attribute__((may_alias))
#else
#define SBORA_FORCE_INLINE __forceinline
#define SBORA_NO_INLINE __declspec(noinline)
#define SBORA_COLD __declspec(noinline)
#define SBORA_RESTRICT __restrict
#define SBORA_MAY_ALIAS
#endif

/// Before a loop of a constant count that must become straight code, so that its arrays of vectors
/// live in registers.
#if defined(__clang__)
#define SBORA_UNROLL _Pragma("clang loop unroll(full)")
#define SBORA_UNROLL_4 _Pragma("clang loop unroll_count(4)")
#elif defined(__GNUC__)
#define SBORA_UNROLL _Pragma("GCC unroll 32")
#define SBORA_UNROLL_4 _Pragma("GCC unroll 4")
#else
#define SBORA_UNROLL
#define SBORA_UNROLL_4
#endif

/// In a loop that waits for another thread: some tens of cycles that leave the core to its other half.
#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define SBORA_SPIN() __builtin_ia32_pause()
#elif defined(__aarch64__) && (defined(__GNUC__) || defined(__clang__))
#define SBORA_SPIN() __asm__ volatile("isb")
#else
#define SBORA_SPIN() static_cast<void>(0)
#endif
