#pragma once

#include <algorithm>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <sbora/core/errors.hpp>

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
  const std::filesystem::path& path() const noexcept { return path_; }
  int code() const noexcept { return code_; }  ///< as errno

 private:
  std::filesystem::path path_;
  int code_;
};

/// What a file breaks. The first ones are the reference implementation's own, in the order in which it looks
/// for them.
enum class safetensors_fault {
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

constexpr const char* to_string(safetensors_fault kind) noexcept {
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
  format_error(safetensors_fault kind, std::filesystem::path path, const std::string& what)
      : error("sbora: " + (path.empty() ? std::string() : path.string() + ": ") + to_string(kind) + ": " + what +
              (!path.empty() && kind <= safetensors_fault::duplicate_name ? "; download or save the file again" : "")),
        path_(std::move(path)),
        kind_(kind) {}
  const std::filesystem::path& path() const noexcept { return path_; }
  safetensors_fault kind() const noexcept { return kind_; }

 private:
  std::filesystem::path path_;
  safetensors_fault kind_;
};

}  // namespace sbora::inline SBORA_ABI

namespace sbora::inline SBORA_ABI::detail {

/// A problem without the names and numbers in it, by which it is like others.
inline std::string kind_of_problem(std::string_view problem) {
  std::string kind;
  bool quoted = false;
  for (std::size_t i = 0; i < problem.size(); ++i) {
    const char c = problem[i];
    const bool digit = c >= '0' && c <= '9';
    if (c == '\'' && (quoted || i == 0 || problem[i - 1] == ' ' || problem[i - 1] == '[')) {  // not that of isn't
      quoted = !quoted;
    } else if (!quoted && !(digit && kind.ends_with('0'))) {
      kind += digit ? '0' : c;
    }
  }
  return kind;
}

/// Problems as lines: all of up to 16, otherwise one of each kind with the number of its like, and at last how many
/// weren't said.
inline std::string problem_lines(const std::vector<std::string>& problems) {
  constexpr std::size_t most = 16;
  std::vector<std::pair<std::size_t, std::size_t>> kinds;  // the first one, and how many
  std::map<std::string, std::size_t, std::less<>> places;
  for (std::size_t i = 0; i < problems.size(); ++i) {
    const std::string kind = problems.size() > most ? kind_of_problem(problems[i]) : std::to_string(i);
    const auto [place, is_new] = places.emplace(kind, kinds.size());
    if (is_new) kinds.emplace_back(i, 0);
    ++kinds[place->second].second;
  }
  std::string text;
  std::size_t left = problems.size();
  for (std::size_t k = 0; k < std::min(kinds.size(), most); ++k) {
    const auto [first, count] = kinds[k];
    std::string problem = problems[first];
    std::replace(problem.begin(), problem.end(), '\n', ' ');  // of a name: one problem, one line
    text += "\n  " + problem + (count > 1 ? " (and " + std::to_string(count - 1) + " more like this)" : "");
    left -= count;
  }
  return left > 0 ? text + "\n  and " + std::to_string(left) + " more problems" : text;
}

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

/// Everything that is wrong with a checkpoint, at once: problems() has all of it, what() at most 20 lines.
class checkpoint_error : public error {
 public:
  /// `cause`: what all problems come from and what helps, where that is known; what() then says it in their place.
  checkpoint_error(const std::string& what, std::vector<std::string> problems, const std::string& cause = {})
      : error("sbora: " + what + ":" +
              (cause.empty() ? detail::problem_lines(problems) : " " + cause + of_these(problems))),
        problems_(std::move(problems)),
        cause_(cause) {}
  const std::vector<std::string>& problems() const noexcept { return problems_; }
  /// Empty where there is no one cause.
  const std::string& cause() const noexcept { return cause_; }

 private:
  static std::string of_these(const std::vector<std::string>& problems) {
    if (problems.size() < 2) return {};
    return "\n  (" + std::to_string(problems.size()) + " problems, the first: " + problems.front() + ")";
  }

  std::vector<std::string> problems_;
  std::string cause_;
};

}  // namespace sbora::inline SBORA_ABI
