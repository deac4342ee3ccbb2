#pragma once

#include <string_view>

#include <sbora/core/errors.hpp>

namespace sbora::inline SBORA_ABI {

/// Instruction-set levels with kernels of their own, each x86 level a superset of the one before.
///   scalar       plain C++ at the baseline flags of the translation unit; runs everywhere
///   avx2         AVX2, FMA, F16C
///   avx512       + AVX-512 F, BW, DQ, VL
///   avx512_bf16  + AVX512_BF16 and VNNI, which all processors with the one have
///   avx512_amx   + AMX-TILE and AMX-BF16, where Linux lets the process have them
///   neon         AArch64 Advanced SIMD
///
/// The list of them: everything that goes through levels takes it from here.
#define SBORA_ISA_LEVELS(LEVEL) LEVEL(scalar) LEVEL(avx2) LEVEL(avx512) LEVEL(avx512_bf16) LEVEL(avx512_amx) LEVEL(neon)

#define SBORA_LEVEL_NAME(level) level,
enum class isa { SBORA_ISA_LEVELS(SBORA_LEVEL_NAME) };
#undef SBORA_LEVEL_NAME

#define SBORA_LEVEL(level) isa::level,
inline constexpr isa all_levels[] = {SBORA_ISA_LEVELS(SBORA_LEVEL)};
#undef SBORA_LEVEL

constexpr const char* to_string(isa level) noexcept {
#define SBORA_LEVEL_TEXT(level) #level,
  constexpr const char* names[] = {SBORA_ISA_LEVELS(SBORA_LEVEL_TEXT)};
#undef SBORA_LEVEL_TEXT
  return names[static_cast<int>(level)];
}

/// The level of that name. Errors: config_error that lists the names.
SBORA_COLD inline isa isa_from_string(std::string_view name) {
  std::string names;
  for (const isa level : all_levels) {
    if (name == to_string(level)) return level;
    names += detail::message({names.empty() ? "" : ", ", to_string(level)});
  }
  throw config_error(detail::message({"sbora: unknown instruction set '", name, "', expected one of ", names}));
}

}  // namespace sbora::inline SBORA_ABI
