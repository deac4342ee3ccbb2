#pragma once

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sbora/io/errors.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// What a file is, by whatever name.
struct file_identity {
  dev_t device;
  ino_t inode;
  friend bool operator==(const file_identity&, const file_identity&) = default;
};

/// The files that this program has mapped, so that none is replaced under its own feet.
class mapped_files {
 public:
  /// Never destroyed: mappings that are global variables outlive whatever was made after them.
  static mapped_files& instance() {
    static mapped_files& files = *new mapped_files;
    return files;
  }
  void add(const file_identity& file) {
    const std::lock_guard<std::mutex> lock(mutex_);
    files_.push_back(file);
  }
  void remove(const file_identity& file) noexcept {
    const std::lock_guard<std::mutex> lock(mutex_);
    files_.erase(std::find(files_.begin(), files_.end(), file));
  }
  /// How often it is mapped.
  std::ptrdiff_t count(const file_identity& file) {
    const std::lock_guard<std::mutex> lock(mutex_);
    return std::count(files_.begin(), files_.end(), file);
  }

 private:
  std::mutex mutex_;
  std::vector<file_identity> files_;  // one entry for each mapping
};

/// Closes what it holds.
class file_descriptor {
 public:
  explicit file_descriptor(int number = -1) noexcept : number_(number) {}
  file_descriptor(file_descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  file_descriptor& operator=(file_descriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  ~file_descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  int get() const noexcept { return number_; }

 private:
  int number_;
};

/// A regular file opened for reading, and what it is. Errors: file_error, also where it is no regular file.
inline file_descriptor open_regular_file(const std::filesystem::path& path, struct stat& status) {
  // O_NONBLOCK: a pipe of that name is refused below instead of waited for.
  file_descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.get() < 0 || ::fstat(file.get(), &status) != 0) throw file_error("opening", path, errno);
  if (!S_ISREG(status.st_mode)) throw file_error("opening", path, S_ISDIR(status.st_mode) ? EISDIR : EINVAL);
  return file;
}

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
  explicit mapped_file(std::filesystem::path path) : path_(std::move(path)) {
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

  mapped_file(mapped_file&& other) noexcept
      : path_(std::move(other.path_)),
        data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)),
        identity_(other.identity_) {}
  mapped_file& operator=(mapped_file&& other) noexcept {
    std::swap(path_, other.path_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(identity_, other.identity_);
    return *this;
  }
  ~mapped_file() {
    if (data_ == nullptr) return;
    ::munmap(data_, size_);
    detail::mapped_files::instance().remove(identity_);
  }

  const std::filesystem::path& path() const noexcept { return path_; }
  std::span<const std::byte> bytes() const noexcept { return {static_cast<const std::byte*>(data_), size_}; }

  /// These pages needn't stay in memory: for whoever goes through a file larger than that. They come again when
  /// they are read.
  void release(std::span<const std::byte> part) const noexcept {
    const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    const auto begin = static_cast<std::size_t>(part.data() - static_cast<const std::byte*>(data_)) / page * page;
    const auto end = static_cast<std::size_t>(part.data() + part.size() - static_cast<const std::byte*>(data_));
    if (!part.empty() && end <= size_) ::madvise(static_cast<std::byte*>(data_) + begin, end - begin, MADV_DONTNEED);
  }

 private:
  std::filesystem::path path_;
  void* data_ = nullptr;
  std::size_t size_ = 0;
  detail::file_identity identity_ = {};
};

}  // namespace sbora::inline SBORA_ABI
