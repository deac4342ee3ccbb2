#pragma once

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <mutex>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>

#include <sbora/io/errors.hpp>
#include <sbora/io/file_descriptor.hpp>
#include <sbora/io/mapped_file.hpp>

namespace sbora::inline SBORA_ABI::detail {

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

/// A regular file opened for reading, and what it is. Errors: file_error, also where it is no regular file.
inline file_descriptor open_regular_file(const std::filesystem::path& path, struct stat& status) {
  // O_NONBLOCK: a pipe of that name is refused below instead of waited for.
  file_descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.get() < 0 || ::fstat(file.get(), &status) != 0) throw file_error("opening", path, errno);
  if (!S_ISREG(status.st_mode)) throw file_error("opening", path, S_ISDIR(status.st_mode) ? EISDIR : EINVAL);
  return file;
}

}  // namespace sbora::inline SBORA_ABI::detail
