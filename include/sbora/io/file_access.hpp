#pragma once

#include <sbora/io/open_files.hpp>

#ifdef __linux__
#include <sys/xattr.h>
#endif

/// Who may read what is written: no more than may read what it replaces or is made of, at any moment.
namespace sbora::inline SBORA_ABI::detail {

/// The access control list of a file, as the system keeps it; empty where it has none beside its mode.
inline std::vector<char> acl_of([[maybe_unused]] const std::filesystem::path& path) {
#ifdef __linux__
  std::vector<char> list(std::size_t{1} << 16);  // the largest that Linux has
  const ssize_t size = ::getxattr(path.c_str(), "system.posix_acl_access", list.data(), list.size());
  list.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
  return list;
#else
  return {};
#endif
}

inline bool set_acl([[maybe_unused]] int file, const std::vector<char>& list) {
  if (list.empty()) return true;
#ifdef __linux__
  return ::fsetxattr(file, "system.posix_acl_access", list.data(), list.size(), 0) == 0;
#else
  return false;
#endif
}

/// Gives a new file, which nobody but its owner may read yet, the access of one that is there: its owner and group
/// where the system lets us, its list, its mode. In another group, the group may what all others may. False: errno.
inline bool give_access(int file, const std::filesystem::path& of, const struct stat& old, mode_t mode) {
  struct stat made;
  if (::fstat(file, &made) != 0) return false;
  const bool owner = made.st_uid == old.st_uid || ::fchown(file, old.st_uid, static_cast<gid_t>(-1)) == 0;
  const bool group = made.st_gid == old.st_gid || ::fchown(file, static_cast<uid_t>(-1), old.st_gid) == 0;
  const bool list = set_acl(file, acl_of(of));
  const mode_t of_others = (mode & S_IRWXO) << 3;
  if (!group || !list) mode &= static_cast<mode_t>(~S_IRWXG) | of_others;  // with a list, these bits are its mask
  if (!group) mode &= static_cast<mode_t>(~S_ISGID);
  if (!owner) mode &= static_cast<mode_t>(~S_ISUID);
  return ::fchmod(file, mode) == 0;
}

inline std::filesystem::path directory_of(const std::filesystem::path& path) {
  return path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
}

/// Puts a directory on disk: what was made, renamed or removed in it. False: errno.
inline bool sync_directory(const std::filesystem::path& directory) {
  const file_descriptor opened(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  // One that we may write to but not read can't be synced, and some file systems don't know how (EINVAL).
  return opened.get() < 0 || ::fsync(opened.get()) == 0 || errno == EINVAL;
}

/// Directories that are made where they aren't there: on disk when made, and gone again with this object, as far as
/// they are empty, unless they are kept.
class made_directories {
 public:
  made_directories() = default;
  made_directories(const made_directories&) = delete;
  made_directories& operator=(const made_directories&) = delete;
  ~made_directories() {
    std::error_code ignored;
    for (auto made = made_.rbegin(); made != made_.rend(); ++made) std::filesystem::remove(*made, ignored);
  }

  /// With all above it. Errors: file_error.
  void make(const std::filesystem::path& path) {
    std::error_code status;
    if (path.empty() || std::filesystem::is_directory(path, status)) return;
    make(path.parent_path());
    const bool made = std::filesystem::create_directory(path, status);
    if (status) throw file_error("making the directory", path, status.value());
    if (made) made_.push_back(path);  // else it ends in a slash, or somebody else made it meanwhile
    if (made && !sync_directory(directory_of(path))) throw file_error("syncing the directory of", path, errno);
  }

  void keep() noexcept { made_.clear(); }

 private:
  std::vector<std::filesystem::path> made_;
};

}  // namespace sbora::inline SBORA_ABI::detail
