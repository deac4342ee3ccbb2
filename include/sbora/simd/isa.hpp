#pragma once

#include <string_view>

#include <sbora/config/errors.hpp>

namespace sbora::inline SBORA_ABI {

/// Instruction-set levels with kernels of their own, each x86 level a superset of the one before.
///   scalar       plain C++ at the baseline flags of the translation unit; runs everywhere
///   avx2         AVX2, FMA, F16C
///   avx512       + AVX-512 F, BW, DQ, VL
///   avx512_bf16  + AVX512_BF16
///   neon         AArch64 Advanced SIMD
enum class isa { scalar, avx2, avx512, avx512_bf16, neon };

constexpr const char* to_string(isa level) noexcept {
  switch (level) {
    case isa::scalar: return "scalar";
    case isa::avx2: return "avx2";
    case isa::avx512: return "avx512";
    case isa::avx512_bf16: return "avx512_bf16";
    case isa::neon: return "neon";
  }
  return "unknown";
}

/// The level of that name. Errors: config_error that lists the names.
inline isa isa_from_string(std::string_view name) {
  for (const isa level :
       {isa::scalar, isa::avx2, isa::avx512, isa::avx512_bf16, isa::neon}) {
    if (name == to_string(level)) return level;
  }
  throw config_error("sbora: unknown instruction set '" + std::string(name) +
                     "', expected scalar, avx2, avx512, avx512_bf16 or neon");
}

}  // namespace sbora::inline SBORA_ABI
