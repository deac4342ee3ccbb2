#pragma once

#include <cstdint>

#include <sbora/simd/isa.hpp>

#if defined(__x86_64__) || defined(_M_X64)
#define SBORA_X86 1
#if defined(_MSC_VER) && !defined(__clang__)
#include <intrin.h>
#else
#include <cpuid.h>
#endif
#elif defined(__aarch64__)
#define SBORA_NEON 1
#endif

namespace sbora::inline SBORA_ABI::detail {

#if defined(SBORA_X86)

struct cpuid_words {
  std::uint32_t eax, ebx, ecx, edx;
};

inline cpuid_words cpuid(std::uint32_t leaf, std::uint32_t subleaf) noexcept {
  cpuid_words words{};
#if defined(_MSC_VER) && !defined(__clang__)
  int out[4];
  __cpuidex(out, static_cast<int>(leaf), static_cast<int>(subleaf));
  words = {static_cast<std::uint32_t>(out[0]), static_cast<std::uint32_t>(out[1]), static_cast<std::uint32_t>(out[2]),
           static_cast<std::uint32_t>(out[3])};
#else
  __get_cpuid_count(leaf, subleaf, &words.eax, &words.ebx, &words.ecx, &words.edx);
#endif
  return words;
}

/// Register state that the operating system saves. Without it, AVX faults on a processor that has it.
inline std::uint64_t saved_state() noexcept {
#if defined(_MSC_VER) && !defined(__clang__)
  return _xgetbv(0);
#else
  std::uint32_t low = 0;
  std::uint32_t high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return std::uint64_t{high} << 32 | low;
#endif
}

/// Asks Linux for the process's tile registers, 8 KiB more of state for each thread that uses them. It refuses where a
/// thread's stack for signals is too small for that.
inline bool may_use_tiles() noexcept {
#if defined(__linux__)
  long result = 158;  // arch_prctl
  constexpr long request_permission = 0x1023, tiles = 18;
  __asm__ volatile("syscall" : "+a"(result) : "D"(request_permission), "S"(tiles) : "rcx", "r11", "memory");
  return result == 0;
#else
  return false;
#endif
}

inline isa detect_isa() noexcept {
  const auto has = [](std::uint32_t word, int bit) { return (word >> bit & 1U) != 0; };
  const cpuid_words leaf1 = cpuid(1, 0);
  constexpr int osxsave = 27, avx = 28, fma = 12, f16c = 29;
  if (!has(leaf1.ecx, osxsave)) return isa::scalar;
  const std::uint64_t state = saved_state();
  const cpuid_words leaf7 = cpuid(7, 0);
  const bool avx2 = (state & 0x06U) == 0x06U && has(leaf1.ecx, avx) && has(leaf1.ecx, fma) && has(leaf1.ecx, f16c) &&
                    has(leaf7.ebx, 5);
  if (!avx2) return isa::scalar;
  const bool avx512 =
      (state & 0xE6U) == 0xE6U && has(leaf7.ebx, 16) && has(leaf7.ebx, 17) && has(leaf7.ebx, 30) && has(leaf7.ebx, 31);
  if (!avx512) return isa::avx2;
  const bool vnni = has(leaf7.ecx, 11);
  if (!vnni || leaf7.eax < 1 || !has(cpuid(7, 1).eax, 5)) return isa::avx512;
  const bool amx = (state & 0x60000U) == 0x60000U && has(leaf7.edx, 22) && has(leaf7.edx, 24);
  return amx && may_use_tiles() ? isa::avx512_amx : isa::avx512_bf16;
}

#elif defined(SBORA_NEON)
inline isa detect_isa() noexcept { return isa::neon; }
#else
inline isa detect_isa() noexcept { return isa::scalar; }
#endif

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

/// The best level that this processor and operating system can run, by CPUID and XGETBV, read once.
inline isa detected_isa() noexcept {
  static const isa level = detail::detect_isa();
  return level;
}

}  // namespace sbora::inline SBORA_ABI
