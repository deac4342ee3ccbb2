#pragma once

#include <sys/mman.h>

#include <sbora/io/mapped_file.hpp>
#include <sbora/io/open_files.hpp>

namespace sbora::inline SBORA_ABI {

SBORA_INSTANCE_OF mapped_file::mapped_file(std::filesystem::path path) : path_(std::move(path)) {
  struct stat status;
  const detail::file_descriptor file = detail::open_regular_file(path_, status);
  size_ = static_cast<std::size_t>(status.st_size);
  if (size_ == 0) return;  // mmap refuses it
  identity_ = {status.st_dev, status.st_ino};
  detail::mapped_files::instance().add(identity_);
  data_ = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, file.get(), 0);
  if (data_ != MAP_FAILED) return;
  const int code = errno;
  detail::mapped_files::instance().remove(identity_);
  throw file_error("mapping", path_, code);
}

SBORA_INSTANCE_OF mapped_file::mapped_file(mapped_file&& other) noexcept
    : path_(std::move(other.path_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      identity_(other.identity_) {}
SBORA_INSTANCE_OF mapped_file& mapped_file::operator=(mapped_file&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(identity_, other.identity_);
  return *this;
}

SBORA_INSTANCE_OF mapped_file::~mapped_file() {
  if (data_ == nullptr) return;
  ::munmap(data_, size_);
  detail::mapped_files::instance().remove(identity_);
}

SBORA_INSTANCE_OF void mapped_file::release(std::span<const std::byte> part) const noexcept {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = static_cast<std::size_t>(part.data() - static_cast<const std::byte*>(data_)) / page * page;
  const auto end = static_cast<std::size_t>(part.data() + part.size() - static_cast<const std::byte*>(data_));
  if (!part.empty() && end <= size_) ::madvise(static_cast<std::byte*>(data_) + begin, end - begin, MADV_DONTNEED);
}

}  // namespace sbora::inline SBORA_ABI
