#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <sbora/core/errors.hpp>

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

namespace sbora::inline SBORA_ABI::detail {

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
  std::vector<std::string>& skipped() noexcept { return skipped_; }

  /// Errors: checkpoint_error with all of them, if any.
  void throw_if_any(const std::string& what) const {
    if (problems_.empty()) return;
    const bool helps = cause_.empty() && could_be_skipped_ == problems_.size();
    throw checkpoint_error(helps ? what + "; read leniently (sbora_tool convert --lenient), it is without this" : what,
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
