#pragma once

#include <algorithm>
#include <stdexcept>
#include <string>

#include <sbora/core/compiler.hpp>
#include <sbora/core/index.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// A message as people can read it, whatever names from files are in it: at most 20 lines, of which the last one
/// counts the rest, at most 1000 bytes a line, and no control characters, which a terminal would obey.
SBORA_COLD inline std::string readable(const std::string& message) {
  constexpr std::size_t most_lines = 20, most_bytes = 1000;
  std::string text;
  std::size_t line = 0, in_line = 0, cut = 0;
  const auto end_line = [&] {
    if (cut > 0) text += "... (" + std::to_string(cut) + " bytes more)";
    in_line = cut = 0;
  };
  const auto lines = static_cast<std::size_t>(std::count(message.begin(), message.end(), '\n')) + 1;
  const std::size_t shown = lines > most_lines ? most_lines - 1 : lines;
  for (const char c : message) {
    if (c == '\n') {
      end_line();
      if (++line == shown) break;
      text += c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    const bool continues = (byte & 0xC0U) == 0x80U;  // of a character of UTF-8, which isn't cut in two
    if (cut > 0 || (in_line >= most_bytes && !continues)) {
      ++cut;
      continue;
    }
    const std::size_t before = text.size();
    constexpr const char* digits = "0123456789abcdef";
    if (byte < 0x20 || byte == 0x7F) text.append("\\x").append({digits[byte >> 4U], digits[byte & 15U]});
    else text += c;
    in_line += text.size() - before;
  }
  end_line();
  const std::size_t more = lines - shown;
  return more > 0 ? text + "\n  ... and " + std::to_string(more) + " lines more" : text;
}

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

/// Base of every exception that sbora throws. what() names what was expected and what came, in at most 20 lines.
/// Thrown before anything is changed: after one, weights, adapters and files are as they were.
class error : public std::runtime_error {
 public:
  explicit error(const std::string& message) : std::runtime_error(detail::readable(message)) {}
};

/// An index set that isn't `rank` distinct indices in [0, dim).
class region_error : public error {
 public:
  using error::error;
};

/// Sizes that don't fit together.
class shape_error : public error {
 public:
  using error::error;
};

/// Codes and scales of a quantised weight that don't fit together, or that no weight can have.
class quantization_error : public error {
 public:
  using error::error;
};

/// An option outside its documented range, or an instruction set that this machine lacks.
class config_error : public error {
 public:
  using error::error;
};

/// Merging what is merged, unmerging what isn't, or merging into a region that is taken.
class merge_error : public error {
 public:
  using error::error;
};

/// A caller-owned workspace or buffer that is too small.
class workspace_error : public error {
 public:
  using error::error;
};

/// A NaN or an infinity where a finite number is needed; row() and col() say where in the weight.
class not_finite_error : public error {
 public:
  not_finite_error(const std::string& message, index_t row, index_t col) : error(message), row_(row), col_(col) {}
  index_t row() const noexcept { return row_; }
  index_t col() const noexcept { return col_; }

 private:
  index_t row_;
  index_t col_;
};

/// A broken precondition of a hot path, in builds that check them (see SBORA_ASSERT).
class assertion_error : public error {
 public:
  using error::error;
};

}  // namespace sbora::inline SBORA_ABI

namespace sbora::inline SBORA_ABI::detail {

/// "rows = 3" and the like, for messages.
template <class Value>
std::string named(const char* name, Value value) {
  return std::string(name) + " = " + std::to_string(value);
}

SBORA_COLD inline std::string shape_text(index_t rows, index_t cols) {
  return std::to_string(rows) + " x " + std::to_string(cols);
}

}  // namespace sbora::inline SBORA_ABI::detail
