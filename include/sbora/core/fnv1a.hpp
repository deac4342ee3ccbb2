#pragma once

#include <cstdint>
#include <string_view>

#include <sbora/core/abi.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// 64-bit FNV-1a, continued from `hash`: tells things apart that differ by accident, not by intent.
constexpr std::uint64_t fnv1a(std::string_view bytes, std::uint64_t hash = 0xcbf29ce484222325U) noexcept {
  for (const char byte : bytes) hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3U;
  return hash;
}

}  // namespace sbora::inline SBORA_ABI::detail
