#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include <sbora/io/tensor.hpp>

#include "io/temporary_directory.hpp"

namespace sbora_tests {

/// Bytes of a file with this header and `data` zeros.
inline std::vector<std::byte> safetensors_bytes(std::string_view header, std::size_t data = 0) {
  const std::uint64_t size = header.size();
  std::vector<std::byte> bytes(sizeof size + header.size() + data);
  std::memcpy(bytes.data(), &size, sizeof size);
  if (!header.empty()) std::memcpy(bytes.data() + sizeof size, header.data(), header.size());
  return bytes;
}

inline std::vector<std::byte> bytes_of(std::string_view text) {
  std::vector<std::byte> bytes(text.size());
  if (!text.empty()) std::memcpy(bytes.data(), text.data(), text.size());
  return bytes;
}

inline std::vector<std::byte> bytes_of_file(const std::filesystem::path& path) { return bytes_of(read_file(path)); }

/// A tensor over values that somebody else keeps.
template <class Scalar>
sbora::tensor_view tensor_of(std::string name, const std::vector<Scalar>& values, std::vector<sbora::index_t> shape) {
  return {std::move(name), sbora::dtype_of<Scalar>, std::move(shape), std::as_bytes(std::span(values))};
}

}  // namespace sbora_tests
