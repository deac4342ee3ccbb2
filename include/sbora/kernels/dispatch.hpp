#pragma once

#include <atomic>
#include <cstdlib>

#include <sbora/kernels/families.hpp>
#include <sbora/simd/cpu.hpp>

// With SBORA_SEPARATE_KERNELS one unit of the program has them: see instances.hpp.
#if !defined(SBORA_SEPARATE_KERNELS)
#include <sbora/kernels/levels.hpp>
#endif

namespace sbora::inline SBORA_ABI {

/// Whether kernels of `level` are compiled into this program and can run on this machine.
inline bool is_supported(isa level) noexcept {
  return level <= detected_isa() && detail::find_kernels<detail::compiled_level>(level) != nullptr;
}

}  // namespace sbora::inline SBORA_ABI

namespace sbora::inline SBORA_ABI::detail {

/// The best level that is supported.
inline isa best_isa() noexcept {
  isa best = isa::scalar;
  for (const isa level : all_levels) {
    if (is_supported(level)) best = level;
  }
  return best;
}

/// The level in use plus one; 0 before the first use.
inline std::atomic<int> active_level{0};

SBORA_COLD inline isa choose_level(isa level) {
  if (!is_supported(level)) {
    throw config_error(message({"sbora: instruction set ", to_string(level),
                                " was asked for, the best of this machine and build is ", to_string(best_isa())}));
  }
  active_level.store(static_cast<int>(level) + 1, std::memory_order_relaxed);
  return level;
}

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

/// The level in use: the best that this machine has, unless the environment variable SBORA_FORCE_ISA, if not empty$
/// (read at first use) or force_isa names another.
/// Errors      config_error where SBORA_FORCE_ISA is unknown or not supported here.
inline isa active_isa() {
  const int level = detail::active_level.load(std::memory_order_relaxed);
  if (level != 0) return static_cast<isa>(level - 1);
  const char* const forced = std::getenv("SBORA_FORCE_ISA");
  return detail::choose_level(forced != nullptr && *forced != '\0' ? isa_from_string(forced) : detail::best_isa());
}

/// Uses the kernels of `level` from now on, for tests and for equal results on different machines.
///
/// Requires    is_supported(level).
/// Thread      Call it while no other sbora call runs.
/// Errors      config_error that names both levels; nothing changes.
inline void force_isa(isa level) { detail::choose_level(level); }

}  // namespace sbora::inline SBORA_ABI

namespace sbora::inline SBORA_ABI::detail {

/// A family that every level has.
/// Requires    a supported level; of another, the scalar kernels.
template <class Family>
const Family& get_kernels(isa level = active_isa()) {
  const Family* const found = find_kernels<Family>(level);
  return found != nullptr ? *found : *find_kernels<Family>(isa::scalar);
}

}  // namespace sbora::inline SBORA_ABI::detail
