#pragma once

#include <cerrno>
#include <filesystem>
#include <string>
#include <system_error>
#include <utility>

#include <sbora/core/errors.hpp>
#include <sbora/model/checkpoint_error.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// A message that ends with what helps, after a semicolon, unless it says so already.
inline std::string with_remedy(const std::string& message, const char* remedy) {
  return message.find("; ") == std::string::npos ? message + "; " + remedy : message;
}

constexpr const char* remedy_for_errno(int code) noexcept {
  switch (code) {
    case ENOENT: return "give the path of one that is there";
    case EISDIR:
    case ENOTDIR:
    case EINVAL: return "give the path of a regular file";
    case EACCES:
    case EPERM:
    case EROFS: return "get the right to it, or choose another place";
    case EBUSY:
    case ESTALE: return "wait until nobody else uses it, and try again";
    case ENOSPC:
    case EDQUOT:
    case EFBIG: return "free some space, or choose another place";
    default: return "check the disk that it is on, and try again";
  }
}

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

/// The operating system said no. what() names the file, what was done with it, the system's reason, and what helps.
class file_error : public error {
 public:
  /// `doing` as in "opening"; `code` is an errno; `more` explains where the system's words are not enough.
  file_error(const char* doing, std::filesystem::path path, int code, const std::string& more = {})
      : error("sbora: " + std::string(doing) + " " + path.string() + ": " +
              detail::with_remedy(more.empty() ? std::generic_category().message(code) : more,
                                  detail::remedy_for_errno(code))),
        path_(std::move(path)),
        code_(code) {}
  const std::filesystem::path& path() const& noexcept { return path_; }
  const std::filesystem::path& path() const&& = delete;  // would dangle: name the object
  int code() const noexcept { return code_; }            ///< as errno

 private:
  std::filesystem::path path_;
  int code_;
};

/// What a file breaks. The first ones are the reference implementation's own, in the order in which it looks
/// for them.
enum class format_fault {
  header_too_small,
  header_too_large,
  invalid_header_length,
  invalid_header,                  ///< not UTF-8
  invalid_header_deserialization,  ///< not JSON, or JSON of another form
  invalid_offset,                  ///< a hole, an overlap, or an end before its begin
  validation_overflow,
  misaligned_slice,            ///< not a whole number of bytes
  tensor_invalid_info,         ///< shape and dtype don't give the size
  metadata_incomplete_buffer,  ///< bytes missing at the end, or too many
  duplicate_name,              ///< one name twice; the reference keeps the last
  missing_tensor,              ///< asked for by name, and not there
  wrong_type,                  ///< asked for as another type than it is
  unaligned_data,              ///< asked for in place, where its bytes can't be read as elements
  invalid_json,                ///< a JSON file that isn't what it should be
  other_file                   ///< something else in a file's place, such as a Git LFS pointer
};

constexpr const char* to_string(format_fault kind) noexcept {
  constexpr const char* names[] = {"header too small",
                                   "header too large",
                                   "invalid header length",
                                   "invalid header",
                                   "invalid header deserialization",
                                   "invalid offset",
                                   "validation overflow",
                                   "misaligned slice",
                                   "tensor invalid info",
                                   "metadata incomplete buffer",
                                   "duplicate name",
                                   "missing tensor",
                                   "wrong type",
                                   "unaligned data",
                                   "invalid json",
                                   "another file"};
  return names[static_cast<int>(kind)];
}

}  // namespace sbora::inline SBORA_ABI

namespace sbora::inline SBORA_ABI::detail {

/// A parser's own words may have semicolons.
inline std::string with_remedy(const std::string& message, format_fault kind) {
  if (kind <= format_fault::duplicate_name) return message + "; download or save the file again";
  switch (kind) {
    case format_fault::invalid_json: return message + "; mend it, or download or save the file again";
    case format_fault::missing_tensor: return with_remedy(message, "give the file that has it");
    case format_fault::other_file: return with_remedy(message, "give the file itself");
    default: return with_remedy(message, "save the file again with what is expected");
  }
}

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

/// Bytes that are not what the format asks for. path() is empty where they came from memory.
class format_error : public error {
 public:
  format_error(format_fault kind, std::filesystem::path path, const std::string& what)
      : error("sbora: " + (path.empty() ? std::string() : path.string() + ": ") + to_string(kind) + ": " +
              (path.empty() ? what : detail::with_remedy(what, kind))),
        path_(std::move(path)),
        kind_(kind) {}
  const std::filesystem::path& path() const& noexcept { return path_; }
  const std::filesystem::path& path() const&& = delete;  // would dangle: name the object
  format_fault kind() const noexcept { return kind_; }

 private:
  std::filesystem::path path_;
  format_fault kind_;
};

}  // namespace sbora::inline SBORA_ABI
