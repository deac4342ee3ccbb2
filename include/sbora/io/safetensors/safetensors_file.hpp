#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include <sbora/io/mapped_file.hpp>
#include <sbora/io/tensor_index.hpp>

namespace sbora::inline SBORA_ABI {

/// A safetensors file, in place.
///
/// Effect      every rule of the reference implementation is checked, in its order, before a tensor can be seen;
///             beyond it, a name that comes twice is refused, and a dimension that index_t can't hold.
/// Lifetime    tensors point into the file's mapping, which ends with this object, or into the caller's memory;
///             moving this object keeps them.
/// Cost        reads the header and no page of the data, whatever the size; find() is a binary search.
/// Thread      read-only once it is open.
/// Errors      file_error; format_error naming the rule, the tensor and the file.
/// Source      huggingface/safetensors, safetensors/src/tensor.rs.
class safetensors_file {
 public:
  SBORA_IN_IO_INSTANCES static safetensors_file open(const std::filesystem::path& path);
  SBORA_IN_IO_INSTANCES static safetensors_file from_memory(std::span<const std::byte> bytes);

  safetensors_file(safetensors_file&&) = default;
  safetensors_file& operator=(safetensors_file&&) = default;

  /// In the order of their bytes.
  std::span<const tensor_view> tensors() const& noexcept { return tensors_; }
  std::span<const tensor_view> tensors() const&& = delete;  // would dangle: name the object

  /// Null where there is none of that name.
  const tensor_view* find(std::string_view name) const& noexcept { return index_.find(tensors_, name); }
  const tensor_view* find(std::string_view name) const&& = delete;  // would dangle: name the object
  SBORA_IN_IO_INSTANCES const tensor_view& at(std::string_view name) const&;
  const tensor_view& at(std::string_view name) const&& = delete;  // would dangle: name the object

  const std::map<std::string, std::string>& metadata() const& noexcept { return metadata_; }
  const std::map<std::string, std::string>& metadata() const&& = delete;  // would dangle: name the object

  /// All of the file.
  std::span<const std::byte> bytes() const& noexcept { return bytes_; }
  std::span<const std::byte> bytes() const&& = delete;  // would dangle: name the object

  /// These bytes needn't stay in memory, see mapped_file. Nothing where it was read from memory.
  void release(std::span<const std::byte> part) const noexcept {
    if (mapping_) mapping_->release(part);
  }

  /// Empty where it was read from memory.
  const std::filesystem::path& path() const& noexcept { return path_; }
  const std::filesystem::path& path() const&& = delete;  // would dangle: name the object

 private:
  safetensors_file() = default;
  void read(std::span<const std::byte> bytes, const std::filesystem::path& path);
  [[noreturn]] void refuse(format_fault kind, const std::string& what) const;

  std::filesystem::path path_;
  std::optional<mapped_file> mapping_;
  std::span<const std::byte> bytes_;
  std::vector<tensor_view> tensors_;
  detail::tensor_index index_;
  std::map<std::string, std::string> metadata_;
};

}  // namespace sbora::inline SBORA_ABI
