#pragma once

#include <stdexcept>
#include <string>

#include <sbora/core/index.hpp>
#include <sbora/core/message.hpp>

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
