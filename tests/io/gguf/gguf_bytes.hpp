#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <sbora/io/gguf/gguf_file.hpp>

namespace sbora_tests {

/// A GGUF file made by hand, right or wrong.
class gguf_bytes {
 public:
  std::uint32_t version = 3;
  std::uint64_t alignment = 32;

  template <class T>
  static std::string raw(T value) {
    std::string bytes(sizeof value, '\0');
    std::memcpy(bytes.data(), &value, sizeof value);
    return bytes;
  }
  static std::string text(std::string_view value) { return raw<std::uint64_t>(value.size()) + std::string(value); }

  gguf_bytes& key(std::string_view name, sbora::gguf_type type, const std::string& value) {
    keys_ += text(name) + raw(static_cast<std::uint32_t>(type)) + value;
    ++key_count_;
    return *this;
  }
  gguf_bytes& array(std::string_view name, sbora::gguf_type type, std::uint64_t count, const std::string& values) {
    return key(name, sbora::gguf_type::array, raw(static_cast<std::uint32_t>(type)) + raw(count) + values);
  }

  /// `shape` as the file has it, the row's length first.
  gguf_bytes& tensor(std::string_view name, std::vector<std::uint64_t> shape, std::uint32_t type,
                     std::uint64_t offset) {
    tensors_ += text(name) + raw(static_cast<std::uint32_t>(shape.size()));
    for (const std::uint64_t size : shape) tensors_ += raw(size);
    tensors_ += raw(type) + raw(offset);
    ++tensor_count_;
    return *this;
  }
  /// With data behind that of the others.
  gguf_bytes& tensor(std::string_view name, std::vector<std::uint64_t> shape, sbora::ggml_type type,
                     const std::string& data) {
    data_.resize((data_.size() + alignment - 1) / alignment * alignment);
    const std::uint64_t offset = data_.size();
    data_ += data;
    return tensor(name, std::move(shape), static_cast<std::uint32_t>(type), offset);
  }
  gguf_bytes& data(const std::string& bytes) {
    data_ += bytes;
    return *this;
  }

  std::string header() const { return "GGUF" + raw(version) + raw(tensor_count_) + raw(key_count_) + keys_ + tensors_; }
  std::string all() const {
    std::string file = header();
    file.resize((file.size() + alignment - 1) / alignment * alignment);
    return file + data_;
  }

 private:
  std::string keys_, tensors_, data_;
  std::uint64_t key_count_ = 0, tensor_count_ = 0;
};

}  // namespace sbora_tests
