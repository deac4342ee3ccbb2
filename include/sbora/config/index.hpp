#pragma once

#include <cstddef>

#include <sbora/config/abi.hpp>

namespace sbora::inline SBORA_ABI {

/// Every size, index and stride, in elements. Signed, as Eigen::Index, so that differences are safe.
using index_t = std::ptrdiff_t;

}  // namespace sbora::inline SBORA_ABI
