#pragma once

#include <filesystem>
#include <string>
#include <system_error>
#include <utility>

#include <sbora/core/errors.hpp>
#include <sbora/model/checkpoint_error.hpp>

namespace sbora::inline SBORA_ABI {

/// The operating system said no. what() names the file, what was done with it, and the system's reason.
class file_error : public error {
 public:
  /// `doing` as in "opening"; `code` is an errno; `more` explains where the system's words are not enough.
  file_error(const char* doing, std::filesystem::path path, int code, const std::string& more = {})
      : error("sbora: " + std::string(doing) + " " + path.string() + ": " +
              (more.empty() ? std::generic_category().message(code) : more)),
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

/// Bytes that are not what the format asks for. path() is empty where they came from memory.
class format_error : public error {
 public:
  format_error(format_fault kind, std::filesystem::path path, const std::string& what)
      : error("sbora: " + (path.empty() ? std::string() : path.string() + ": ") + to_string(kind) + ": " + what +
              (!path.empty() && kind <= format_fault::duplicate_name ? "; download or save the file again" : "")),
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
