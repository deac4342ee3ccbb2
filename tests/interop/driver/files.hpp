#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

/// Arrays as raw little-endian files, which numpy reads and writes.
namespace interop {

template <class T>
std::vector<T> read_values(const std::filesystem::path& path) {
  std::vector<T> values(static_cast<std::size_t>(std::filesystem::file_size(path)) / sizeof(T));
  std::ifstream file(path, std::ios::binary);
  file.read(reinterpret_cast<char*>(values.data()), static_cast<std::streamsize>(values.size() * sizeof(T)));
  if (!file) throw std::runtime_error("cannot read " + path.string());
  return values;
}

template <class T>
void write_values(const std::filesystem::path& path, std::span<const T> values) {
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(values.data()), static_cast<std::streamsize>(values.size_bytes()));
  if (!file.flush()) throw std::runtime_error("cannot write " + path.string());
}

}  // namespace interop
