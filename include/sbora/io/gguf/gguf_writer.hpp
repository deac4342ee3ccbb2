#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <sbora/io/atomic_file.hpp>
#include <sbora/io/gguf/gguf_file.hpp>

namespace sbora::inline SBORA_ABI {

/// A GGUF file's metadata, to be written. Keys are UTF-8, and none comes twice: who reads the file checks it.
class gguf_metadata {
 public:
  SBORA_IN_IO_INSTANCES gguf_metadata& add(std::string_view key, std::string_view text) &;
  SBORA_IN_IO_INSTANCES gguf_metadata& add(std::string_view key, std::uint32_t number) &;
  SBORA_IN_IO_INSTANCES gguf_metadata& add(std::string_view key, float number) &;
  /// As another file has it.
  SBORA_IN_IO_INSTANCES gguf_metadata& add(const gguf_entry& entry) &;

  std::uint64_t size() const noexcept { return count_; }
  std::string_view bytes() const& noexcept { return bytes_; }
  std::string_view bytes() const&& = delete;  // would dangle: name the object

 private:
  void put(std::string_view key, gguf_type type, std::string_view value);

  std::string bytes_;
  std::uint64_t count_ = 0;
};

/// Writes a GGUF file of version 3 whose tensors come in pieces, so that they needn't be in memory together.
///
/// Effect      by an atomic_file: metadata and descriptions when it is made, from names, types and shapes, whose data
///             isn't looked at; then pieces of the first tensor, of the second, … as many bytes as each has; then
///             commit(). Tensors lie at multiples of `alignment`. `like`: what it is made of, see atomic_file.
/// Requires    an alignment that is a power of two, general.alignment of the metadata where that isn't 32.
/// Cost        memory for the header only.
/// Thread      one call at a time.
/// Errors      file_error; format_error of a piece that isn't next or is too long, and of a commit before all bytes
///             are there. The file is as it was.
class gguf_stream_writer {
 public:
  SBORA_IN_IO_INSTANCES gguf_stream_writer(const std::filesystem::path& path, const gguf_metadata& metadata,
                                           std::span<const gguf_tensor> tensors, std::uint64_t alignment = 32,
                                           const std::filesystem::path& like = {});

  SBORA_IN_IO_INSTANCES void write(std::string_view name, std::span<const std::byte> piece);
  SBORA_IN_IO_INSTANCES void commit();

 private:
  struct tensor {
    std::string name;
    std::uint64_t left;  ///< bytes to come
    std::uint64_t padding;
  };
  void finish_tensors();

  atomic_file file_;
  std::vector<tensor> tensors_;
  std::size_t next_ = 0;
};

}  // namespace sbora::inline SBORA_ABI
