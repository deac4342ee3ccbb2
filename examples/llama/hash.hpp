#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "format.hpp"

namespace llama {

/// FNV-1a, 64 bits: tells contents apart that differ by accident, such as another version of a file.
class content_hash {
 public:
  content_hash& add(std::span<const std::byte> bytes) {
    for (const std::byte byte : bytes) state_ = (state_ ^ static_cast<std::uint64_t>(byte)) * 0x100000001B3ULL;
    return *this;
  }
  /// With its length, so that "ab", "c" and "a", "bc" differ.
  content_hash& add(std::string_view text) {
    const std::uint64_t length = text.size();
    return add(std::as_bytes(std::span(&length, 1))).add(std::as_bytes(std::span(text)));
  }
  std::string text() const { return format("%016llx", static_cast<unsigned long long>(state_)); }

 private:
  std::uint64_t state_ = 0xCBF29CE484222325ULL;
};

}  // namespace llama
