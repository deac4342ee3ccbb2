#pragma once

/// What a figure was measured on.

#include <cstddef>
#include <string>

namespace bench {

std::string cpu_model();
std::string compiler();
std::size_t last_level_cache_bytes();  ///< 32 MiB where the system doesn't say
std::size_t available_memory_bytes();  ///< 0 where the system doesn't say

}  // namespace bench
