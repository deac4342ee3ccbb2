#pragma once

#if !defined(SBORA_SEPARATE_KERNELS)
#if defined(SBORA_KERNELS_WHERE)
#error "sbora: define SBORA_SEPARATE_KERNELS for this unit too, or include <sbora/kernels/instances.hpp> first in it"
#endif
#define SBORA_SEPARATE_KERNELS
#endif

#include <sbora/kernels/dispatch.hpp>
#include <sbora/kernels/levels.hpp>

/// For programs of many units: compile all of them with SBORA_SEPARATE_KERNELS and include this header in exactly
/// one, which then has the kernels of all. (g++ 12, -O2, a unit that trains a
/// layer: 2.0 s instead of 5.4; the kernels 20.)
/// All units need the same flags, as far as they change code: others fail to link.
namespace sbora::inline SBORA_ABI::detail {

#define SBORA_INSTANCE(...) template const __VA_ARGS__* find_kernels<__VA_ARGS__>(isa) noexcept;
SBORA_ALL_KERNELS(SBORA_INSTANCE)
#undef SBORA_INSTANCE

}  // namespace sbora::inline SBORA_ABI::detail
