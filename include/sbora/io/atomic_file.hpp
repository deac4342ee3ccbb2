#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>

#include <sys/types.h>

#include <sbora/core/abi.hpp>
#include <sbora/core/compiled_once.hpp>
#include <sbora/io/errors.hpp>
#include <sbora/io/file_descriptor.hpp>

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
  SBORA_IN_IO_INSTANCES explicit atomic_file(std::filesystem::path path, const std::filesystem::path& like = {});
  SBORA_IN_IO_INSTANCES atomic_file(atomic_file&& other) noexcept;
  SBORA_IN_IO_INSTANCES atomic_file& operator=(atomic_file&& other) noexcept;
  SBORA_IN_IO_INSTANCES ~atomic_file();

  const std::filesystem::path& path() const& noexcept { return path_; }
  const std::filesystem::path& path() const&& = delete;  // would dangle: name the object

  /// Takes the space of a file of this size now, where the file system can, so that a full disk shows before
  /// the work and not after it.
  SBORA_IN_IO_INSTANCES void reserve(std::uint64_t bytes);

  /// Appends.
  SBORA_IN_IO_INSTANCES void write(std::span<const std::byte> bytes);
  void write(std::string_view text) { write(std::as_bytes(std::span(text.data(), text.size()))); }

  /// All of commit() that can fail for lack of space or because somebody uses the target, so that of several files
  /// none takes its name before this was done for all. Nothing may be written afterwards.
  SBORA_IN_IO_INSTANCES void prepare();

  /// The target is the new file when this returns. Nothing can be written afterwards.
  SBORA_IN_IO_INSTANCES void commit();

 private:
  void refuse_mapped() const;
  void create(mode_t mode);
  void require_open() const;
  [[noreturn]] void fail();
  void discard() noexcept;

  std::filesystem::path path_;
  std::filesystem::path temporary_;  // empty when there is none
  detail::file_descriptor file_;
};

}  // namespace sbora::inline SBORA_ABI
