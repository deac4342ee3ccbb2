#pragma once

#if !defined(SBORA_SEPARATE_KERNELS)
#if defined(SBORA_KERNELS_WHERE)
#error "sbora: define SBORA_SEPARATE_KERNELS for this unit too, or include <sbora/kernels/instances.hpp> first in it"
#endif
#define SBORA_SEPARATE_KERNELS
#endif

#include <sbora/kernels/levels.hpp>

namespace sbora::SBORA_KERNELS_ABI::inline SBORA_KERNELS_WHERE {
template <class Family>
const Family* kernels_at(int level) noexcept {
  return detail::compiled_kernels<Family>(static_cast<isa>(level));
}
}  // namespace sbora::SBORA_KERNELS_ABI::inline SBORA_KERNELS_WHERE

/// For kernels/instances_*.hpp: SBORA_INSTANTIATE(LIST) compiles the families of one of the lists in families.hpp, with
/// this unit's flags, for the whole program.
#define SBORA_INSTANCE(...) template const __VA_ARGS__* kernels_at<__VA_ARGS__>(int) noexcept;
#define SBORA_INSTANTIATE(LIST)        \
  namespace sbora::SBORA_KERNELS_ABI { \
  LIST(SBORA_INSTANCE)                 \
  }
