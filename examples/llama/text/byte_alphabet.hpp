#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace llama::byte_alphabet {

/// Byte-level BPE writes every byte as a printable character: most of Latin-1 as itself, and the 68 bytes
/// that are blank or control characters there as U+0100, U+0101, ... in order.
inline constexpr std::array<int, 256> codes = [] {
  std::array<int, 256> result{};
  int next = 0x100;
  for (int byte = 0; byte < 256; ++byte) {
    const bool printable = (byte > 0x20 && byte < 0x7F) || (byte > 0xA0 && byte != 0xAD);
    result[static_cast<std::size_t>(byte)] = printable ? byte : next++;
  }
  return result;
}();

/// The UTF-8 of a byte's character: at most U+0143, so one or two bytes.
inline std::string character(unsigned char byte) {
  const int code = codes[byte];
  if (code < 0x80) return {static_cast<char>(code)};
  return {static_cast<char>(0xC0 | code >> 6), static_cast<char>(0x80 | (code & 0x3F))};
}

/// Bytes written in the alphabet.
inline std::string from_bytes(std::string_view bytes) {
  static const std::array<std::string, 256> characters = [] {
    std::array<std::string, 256> result;
    for (std::size_t byte = 0; byte < 256; ++byte) result[byte] = character(static_cast<unsigned char>(byte));
    return result;
  }();
  std::string result;
  result.reserve(bytes.size() * 3 / 2);
  for (const char byte : bytes) result += characters[static_cast<unsigned char>(byte)];
  return result;
}

/// The bytes that a token stands for; none if it has a character outside of the alphabet.
inline std::optional<std::string> to_bytes(std::string_view token) {
  static const std::array<int, 0x200> byte_of = [] {
    std::array<int, 0x200> result{};
    result.fill(-1);
    for (int byte = 0; byte < 256; ++byte) {
      result[static_cast<std::size_t>(codes[static_cast<std::size_t>(byte)])] = byte;
    }
    return result;
  }();
  std::string result;
  while (!token.empty()) {
    auto code = static_cast<std::size_t>(static_cast<unsigned char>(token[0]));
    const std::size_t length = code < 0x80 ? 1 : 2;
    if (code >= 0xC8 || token.size() < length) return std::nullopt;
    if (length == 2) code = (code & 0x1F) << 6 | (static_cast<unsigned char>(token[1]) & 0x3F);
    if (byte_of[code] < 0) return std::nullopt;
    result += static_cast<char>(byte_of[code]);
    token.remove_prefix(length);
  }
  return result;
}

}  // namespace llama::byte_alphabet
