#pragma once

#include <utility>

#include <sbora/model/checkpoint_error.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// Problems as lines: all of up to 16, otherwise one of each kind with the number of its like, and at last how many
/// weren't said.
SBORA_IN_MODEL_INSTANCES std::string problem_lines(const std::vector<std::string>& problems);

/// Collects everything that is wrong, to throw it at once, and what a lenient read leaves out instead.
class problem_list {
 public:
  explicit problem_list(bool lenient = false) : lenient_(lenient) {}

  /// Wrong in every mode.
  void add(std::string problem) { problems_.push_back(std::move(problem)); }
  /// Wrong where strict; left out where lenient.
  void refuse_or_skip(std::string what) {
    (lenient_ ? skipped_ : problems_).push_back(std::move(what));
    could_be_skipped_ += lenient_ ? 0 : 1;
  }
  /// Left out in every mode.
  void skip(std::string what) { skipped_.push_back(std::move(what)); }

  /// What all of it comes from, and what helps. The first one counts.
  void set_cause(std::string cause) {
    if (cause_.empty()) cause_ = std::move(cause);
  }
  bool empty() const noexcept { return problems_.empty(); }
  std::size_t size() const noexcept { return problems_.size(); }
  std::vector<std::string>& skipped() & noexcept { return skipped_; }

  /// Errors: checkpoint_error with all of them, if any. `remedy` is what helps where no cause is known that says it.
  void throw_if_any(const std::string& what, const std::string& remedy) const {
    if (problems_.empty()) return;
    const bool skipping_helps = could_be_skipped_ == problems_.size();
    throw checkpoint_error(!cause_.empty() ? what
                           : skipping_helps
                               ? what + "; read leniently (sbora_tool convert --lenient), it is without this"
                               : what + "; " + remedy,
                           problems_, cause_);
  }

 private:
  bool lenient_;
  std::string cause_;
  std::size_t could_be_skipped_ = 0;
  std::vector<std::string> problems_;
  std::vector<std::string> skipped_;
};

}  // namespace sbora::inline SBORA_ABI::detail
