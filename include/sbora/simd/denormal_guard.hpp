#pragma once

#include <cstdint>

#include <sbora/simd/cpu.hpp>

#if defined(SBORA_X86)
#include <xmmintrin.h>
#endif

namespace sbora::inline SBORA_ABI {

/// Makes this thread treat denormal numbers as zero, until it is destroyed: opt-in, for processors on
/// which they take a hundred times as long. sbora never does it by itself.
///
/// Effect      results and operands below 2^-126 (2^-1022) become zero; x86-64: FTZ and DAZ of MXCSR,
///             AArch64: FZ of FPCR; elsewhere nothing.
/// Numerics    results may differ from those without it in what is denormal; merges too.
/// Thread      the calling thread alone, and the tasks of calls that it makes meanwhile through sbora::thread_pool or
///             sbora::openmp_executor; an executor of your own has to see to that. Destroy it where it was made.
class [[nodiscard]] denormal_guard {
 public:
  denormal_guard() noexcept : before_(state()) { set_state(before_ | flush); }
  denormal_guard(const denormal_guard&) = delete;
  denormal_guard& operator=(const denormal_guard&) = delete;
  ~denormal_guard() { set_state(before_); }

 private:
#if defined(SBORA_X86)
  static constexpr std::uint64_t flush = 0x8040;
  static std::uint64_t state() noexcept { return _mm_getcsr(); }
  static void set_state(std::uint64_t word) noexcept { _mm_setcsr(static_cast<unsigned>(word)); }
#elif defined(SBORA_NEON)
  static constexpr std::uint64_t flush = std::uint64_t{1} << 24;
  static std::uint64_t state() noexcept {
    std::uint64_t word;
    __asm__ volatile("mrs %0, fpcr" : "=r"(word));
    return word;
  }
  static void set_state(std::uint64_t word) noexcept { __asm__ volatile("msr fpcr, %0" : : "r"(word)); }
#else
  static constexpr std::uint64_t flush = 0;
  static std::uint64_t state() noexcept { return 0; }
  static void set_state(std::uint64_t) noexcept {}
#endif

  std::uint64_t before_;
};

}  // namespace sbora::inline SBORA_ABI
