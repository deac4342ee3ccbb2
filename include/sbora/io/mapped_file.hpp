#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

#include <sys/types.h>

#include <sbora/core/abi.hpp>
#include <sbora/core/compiled_once.hpp>
#include <sbora/io/errors.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// What a file is, by whatever name.
struct file_identity {
  dev_t device;
  ino_t inode;
  friend bool operator==(const file_identity&, const file_identity&) = default;
};

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

/// A whole file, read-only in memory: its pages come when they are first read, and go when memory is short.
///
/// Lifetime    spans into it end with it; moving it keeps them. The file may be removed or replaced by rename
///             meanwhile, which sbora's own writers refuse. Whoever truncates it in place ends the program with
///             SIGBUS at the next read: that is what mmap does.
/// Cost        opening reads nothing, whatever the size.
/// Thread      a value; its memory is only read.
/// Errors      file_error; also where it is no regular file.
class mapped_file {
 public:
  SBORA_IN_IO_INSTANCES explicit mapped_file(std::filesystem::path path);
  SBORA_IN_IO_INSTANCES mapped_file(mapped_file&& other) noexcept;
  SBORA_IN_IO_INSTANCES mapped_file& operator=(mapped_file&& other) noexcept;
  SBORA_IN_IO_INSTANCES ~mapped_file();

  const std::filesystem::path& path() const& noexcept { return path_; }
  const std::filesystem::path& path() const&& = delete;  // would dangle: name the object
  std::span<const std::byte> bytes() const& noexcept { return {static_cast<const std::byte*>(data_), size_}; }
  std::span<const std::byte> bytes() const&& = delete;  // would dangle: name the object

  /// These pages needn't stay in memory: for whoever goes through a file larger than that. They come again when
  /// they are read.
  SBORA_IN_IO_INSTANCES void release(std::span<const std::byte> part) const noexcept;

 private:
  std::filesystem::path path_;
  void* data_ = nullptr;
  std::size_t size_ = 0;
  detail::file_identity identity_ = {};
};

}  // namespace sbora::inline SBORA_ABI
