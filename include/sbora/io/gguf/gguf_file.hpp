#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <sbora/core/compiled_once.hpp>
#include <sbora/io/gguf/gguf_value.hpp>
#include <sbora/io/mapped_file.hpp>
#include <sbora/kernels/ggml_types.hpp>

namespace sbora::inline SBORA_ABI {

/// A tensor of a GGUF file, row-major without gaps, its rows in blocks of its type.
struct gguf_tensor {
  std::string_view name;
  ggml_type type = ggml_type::f32;
  std::vector<index_t> shape;  ///< as others have it, d_out first: the reverse of the file's; empty for a scalar
  std::span<const std::byte> data;
};

/// A GGUF file, in place: its metadata and its tensors.
///
/// Effect      version 2 or 3, little-endian. All of it is checked before any can be seen: sizes against the file's,
///             types against those that ggml has, rows against their types' blocks, the alignment and each tensor's
///             offset, that none overlaps another, that no name comes twice and all are UTF-8. Metadata has no arrays
///             of arrays, as llama.cpp reads it. Bytes between and behind the tensors are left alone.
/// Lifetime    names, values and tensors point into the file's mapping, which ends with this object, or into the
///             caller's memory; moving this object keeps them.
/// Cost        reads metadata and descriptions, which may be some MB of a tokenizer, and no page of the tensors; time
///             and memory are linear in them. find and at are a binary search.
/// Thread      read-only once it is open.
/// Errors      file_error; format_error naming what is wrong, the tensor or the key, and the file.
/// Source      ggml's docs/gguf.md; llama.cpp's gguf.cpp.
class gguf_file {
 public:
  SBORA_IN_IO_INSTANCES static gguf_file open(const std::filesystem::path& path);
  SBORA_IN_IO_INSTANCES static gguf_file from_memory(std::span<const std::byte> bytes);

  gguf_file(gguf_file&&) = default;
  gguf_file& operator=(gguf_file&&) = default;

  std::uint32_t version() const noexcept { return version_; }
  /// Of tensors, in bytes from the first one.
  std::uint64_t alignment() const noexcept { return alignment_; }

  /// In the file's order.
  std::span<const gguf_entry> metadata() const& noexcept { return metadata_; }
  std::span<const gguf_entry> metadata() const&& = delete;  // would dangle: name the object
  std::span<const gguf_tensor> tensors() const& noexcept { return tensors_; }
  std::span<const gguf_tensor> tensors() const&& = delete;  // would dangle: name the object

  /// Null where there is none of that name.
  SBORA_IN_IO_INSTANCES const gguf_tensor* find(std::string_view name) const& noexcept;
  const gguf_tensor* find(std::string_view name) const&& = delete;  // would dangle: name the object
  SBORA_IN_IO_INSTANCES const gguf_tensor& at(std::string_view name) const&;
  const gguf_tensor& at(std::string_view name) const&& = delete;  // would dangle: name the object

  /// A value of the metadata; one without a type where there is none of that key.
  SBORA_IN_IO_INSTANCES gguf_value value(std::string_view key) const& noexcept;
  gguf_value value(std::string_view key) const&& = delete;  // would dangle: name the object

  /// All of the file, and where its tensors begin.
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
  gguf_file() = default;
  void read(std::span<const std::byte> bytes, const std::filesystem::path& path);

  std::filesystem::path path_;
  std::optional<mapped_file> mapping_;
  std::span<const std::byte> bytes_;
  std::uint32_t version_ = 0;
  std::uint64_t alignment_ = 32;
  std::vector<gguf_entry> metadata_;
  std::vector<gguf_tensor> tensors_;
  std::vector<std::size_t> keys_, names_;  ///< positions, ascending by name
};

}  // namespace sbora::inline SBORA_ABI
