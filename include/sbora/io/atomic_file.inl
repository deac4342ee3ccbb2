#pragma once

#include <atomic>
#include <string>

#include <sbora/io/atomic_file.hpp>
#include <sbora/io/file_access.hpp>

namespace sbora::inline SBORA_ABI::detail {

inline constexpr const char* writing = "writing";
inline constexpr std::size_t most_at_once = std::size_t{1} << 30;

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

SBORA_INSTANCE_OF atomic_file::atomic_file(std::filesystem::path path, const std::filesystem::path& like)
    : path_(std::move(path)) {
  struct stat old;
  const bool replaces = ::stat(path_.c_str(), &old) == 0;
  if (replaces && !S_ISREG(old.st_mode))
    throw file_error(detail::writing, path_, S_ISDIR(old.st_mode) ? EISDIR : EINVAL);
  refuse_mapped();
  if (!replaces && !like.empty() && ::stat(like.c_str(), &old) != 0) throw file_error("looking at", like, errno);
  const bool any = !replaces && like.empty();
  create(any ? 0666 : 0600);
  const mode_t mode = replaces ? old.st_mode & 07777 : (old.st_mode & 0666) | 0600;  // one that we made, we may write
  if (!any && !detail::give_access(file_.get(), replaces ? path_ : like, old, mode)) fail();
}

SBORA_INSTANCE_OF atomic_file::atomic_file(atomic_file&& other) noexcept
    : path_(std::move(other.path_)), temporary_(std::exchange(other.temporary_, {})), file_(std::move(other.file_)) {}
SBORA_INSTANCE_OF atomic_file& atomic_file::operator=(atomic_file&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(temporary_, other.temporary_);
  std::swap(file_, other.file_);
  return *this;
}

SBORA_INSTANCE_OF atomic_file::~atomic_file() { discard(); }

SBORA_INSTANCE_OF void atomic_file::reserve([[maybe_unused]] std::uint64_t bytes) {
#if defined(FALLOC_FL_KEEP_SIZE)
  require_open();
  if (bytes == 0 || ::fallocate(file_.get(), FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(bytes)) == 0) return;
  if (errno == ENOSPC || errno == EDQUOT || errno == EFBIG) fail();
#endif
}

SBORA_INSTANCE_OF void atomic_file::write(std::span<const std::byte> bytes) {
  require_open();
  while (!bytes.empty()) {
    const ssize_t written = ::write(file_.get(), bytes.data(), std::min(bytes.size(), detail::most_at_once));
    if (written < 0 && errno != EINTR) fail();
    if (written > 0) bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
}

SBORA_INSTANCE_OF void atomic_file::prepare() {
  require_open();
  try {
    refuse_mapped();
  } catch (...) {
    discard();
    throw;
  }
  if (::fsync(file_.get()) != 0) fail();
}

SBORA_INSTANCE_OF void atomic_file::commit() {
  prepare();
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) fail();
  temporary_.clear();
  file_ = detail::file_descriptor();
  if (detail::sync_directory(detail::directory_of(path_))) return;
  throw file_error("syncing the directory of", path_, errno);
}

SBORA_INSTANCE_OF void atomic_file::refuse_mapped() const {
  struct stat status;
  if (::stat(path_.c_str(), &status) != 0) return;
  if (detail::mapped_files::instance().count({status.st_dev, status.st_ino}) == 0) return;
  throw file_error(detail::writing, path_, EBUSY,
                   "this program has it open, mapped into memory; close it first, or write another file");
}

SBORA_INSTANCE_OF void atomic_file::create(mode_t mode) {
  static std::atomic<unsigned> count = 0;
  // The longest name that file systems take has 255 bytes.
  const std::string start = "." + path_.filename().string().substr(0, 200) + "." + std::to_string(::getpid()) + "-";
  for (int tries = 0; tries < 1000; ++tries) {
    temporary_ = detail::directory_of(path_) / (start + std::to_string(count++) + ".tmp");
    file_ = detail::file_descriptor(::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode));
    if (file_.get() >= 0) return;
    if (errno != EEXIST) break;  // else one of a process that was killed, with our number
  }
  temporary_.clear();  // not ours to remove
  throw file_error(detail::writing, path_, errno);
}

SBORA_INSTANCE_OF void atomic_file::require_open() const {
  if (file_.get() < 0) throw file_error(detail::writing, path_, EBADF, "it was committed, or writing it failed before");
}

SBORA_INSTANCE_OF void atomic_file::fail() {
  const int code = errno;
  discard();
  throw file_error(detail::writing, path_, code);
}

SBORA_INSTANCE_OF void atomic_file::discard() noexcept {
  if (temporary_.empty()) return;
  ::unlink(temporary_.c_str());
  temporary_.clear();
  file_ = detail::file_descriptor();
}

}  // namespace sbora::inline SBORA_ABI
