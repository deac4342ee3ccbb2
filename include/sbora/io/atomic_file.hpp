#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include <sbora/io/file_access.hpp>

namespace sbora::inline SBORA_ABI {

/// A file that is there as a whole, or as it was before.
///
/// Effect      bytes go to a temporary file beside the target; commit() puts that on disk (fsync), renames it over
///             the target, and puts the directory on disk. Without commit() the destructor removes it. A symbolic
///             link is replaced, not what it names; the other names of a hard link keep the old file.
///             The new file has owner, group, permissions and access list of the one it replaces, as far as the
///             system lets us, and from its first moment nobody may read it who may not read that one. Where there
///             is none, it has those of `like`, which it is made of, or without that those of any new file.
/// Requires    a target that no mapped_file of this program has open, checked when this is made and at commit():
///             weights that are in use would lose their file.
/// Cost        write() is the system's: give it large pieces.
/// Thread      one call at a time.
/// Errors      file_error naming the target and the system's reason: no space, no permission, a directory or device of
///             that name. The target is as it was, the temporary file gone; only where the directory can't be put on
///             disk is the target new, and may be the old one again after a loss of power. Killed in between, a
///             process leaves the temporary file, ".NAME.PID-N.tmp", which nobody takes for the target.
class atomic_file {
 public:
  explicit atomic_file(std::filesystem::path path, const std::filesystem::path& like = {}) : path_(std::move(path)) {
    struct stat old;
    const bool replaces = ::stat(path_.c_str(), &old) == 0;
    if (replaces && !S_ISREG(old.st_mode)) throw file_error(doing, path_, S_ISDIR(old.st_mode) ? EISDIR : EINVAL);
    refuse_mapped();
    if (!replaces && !like.empty() && ::stat(like.c_str(), &old) != 0) throw file_error("looking at", like, errno);
    const bool any = !replaces && like.empty();
    create(any ? 0666 : 0600);
    const mode_t mode = replaces ? old.st_mode & 07777 : (old.st_mode & 0666) | 0600;  // one that we made, we may write
    if (!any && !detail::give_access(file_.get(), replaces ? path_ : like, old, mode)) fail();
  }

  atomic_file(atomic_file&& other) noexcept
      : path_(std::move(other.path_)), temporary_(std::exchange(other.temporary_, {})), file_(std::move(other.file_)) {}
  atomic_file& operator=(atomic_file&& other) noexcept {
    std::swap(path_, other.path_);
    std::swap(temporary_, other.temporary_);
    std::swap(file_, other.file_);
    return *this;
  }
  ~atomic_file() { discard(); }

  const std::filesystem::path& path() const noexcept { return path_; }

  /// Takes the space of a file of this size now, where the file system can, so that a full disk shows before
  /// the work and not after it.
  void reserve([[maybe_unused]] std::uint64_t bytes) {
#if defined(FALLOC_FL_KEEP_SIZE)
    require_open();
    if (bytes == 0 || ::fallocate(file_.get(), FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(bytes)) == 0) return;
    if (errno == ENOSPC || errno == EDQUOT || errno == EFBIG) fail();
#endif
  }

  /// Appends.
  void write(std::span<const std::byte> bytes) {
    require_open();
    while (!bytes.empty()) {
      const ssize_t written = ::write(file_.get(), bytes.data(), std::min(bytes.size(), most_at_once));
      if (written < 0 && errno != EINTR) fail();
      if (written > 0) bytes = bytes.subspan(static_cast<std::size_t>(written));
    }
  }

  void write(std::string_view text) { write(std::as_bytes(std::span(text.data(), text.size()))); }

  /// All of commit() that can fail for lack of space or because somebody uses the target, so that of several files
  /// none takes its name before this was done for all. Nothing may be written afterwards.
  void prepare() {
    require_open();
    try {
      refuse_mapped();
    } catch (...) {
      discard();
      throw;
    }
    if (::fsync(file_.get()) != 0) fail();
  }

  /// The target is the new file when this returns. Nothing can be written afterwards.
  void commit() {
    prepare();
    if (::rename(temporary_.c_str(), path_.c_str()) != 0) fail();
    temporary_.clear();
    file_ = detail::file_descriptor();
    if (detail::sync_directory(detail::directory_of(path_))) return;
    throw file_error("syncing the directory of", path_, errno);
  }

 private:
  static constexpr const char* doing = "writing";
  static constexpr std::size_t most_at_once = std::size_t{1} << 30;

  void refuse_mapped() const {
    struct stat status;
    if (::stat(path_.c_str(), &status) != 0) return;
    if (detail::mapped_files::instance().count({status.st_dev, status.st_ino}) == 0) return;
    throw file_error(doing, path_, EBUSY,
                     "this program has it open, mapped into memory; close it first, or write another file");
  }

  void create(mode_t mode) {
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
    throw file_error(doing, path_, errno);
  }

  void require_open() const {
    if (file_.get() < 0) throw file_error(doing, path_, EBADF, "it was committed, or writing it failed before");
  }

  [[noreturn]] void fail() {
    const int code = errno;
    discard();
    throw file_error(doing, path_, code);
  }

  /// The space of what can't be finished is free again at once.
  void discard() noexcept {
    if (temporary_.empty()) return;
    ::unlink(temporary_.c_str());
    temporary_.clear();
    file_ = detail::file_descriptor();
  }

  std::filesystem::path path_;
  std::filesystem::path temporary_;  // empty when there is none
  detail::file_descriptor file_;
};

}  // namespace sbora::inline SBORA_ABI
