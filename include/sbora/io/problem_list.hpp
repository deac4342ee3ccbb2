#pragma once

#include <sbora/io/errors.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// Collects everything that is wrong, to throw it at once, and what a lenient read leaves out instead.
class problem_list {
 public:
  explicit problem_list(bool lenient = false) : lenient_(lenient) {}

  /// Wrong in every mode.
  void add(std::string problem) { problems_.push_back(std::move(problem)); }
  /// Wrong where strict; left out where lenient.
  void refuse_or_skip(std::string what) { (lenient_ ? skipped_ : problems_).push_back(std::move(what)); }
  /// Left out in every mode.
  void skip(std::string what) { skipped_.push_back(std::move(what)); }

  bool lenient() const noexcept { return lenient_; }
  bool empty() const noexcept { return problems_.empty(); }
  std::size_t size() const noexcept { return problems_.size(); }
  std::vector<std::string>& skipped() noexcept { return skipped_; }

  /// Errors: checkpoint_error with all of them, if any.
  void throw_if_any(const std::string& what) const {
    if (!problems_.empty()) throw checkpoint_error(what, problems_);
  }

 private:
  bool lenient_;
  std::vector<std::string> problems_;
  std::vector<std::string> skipped_;
};

}  // namespace sbora::inline SBORA_ABI::detail
