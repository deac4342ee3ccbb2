#pragma once

#include <algorithm>
#include <map>
#include <string_view>

#include <sbora/model/problem_list.hpp>

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

SBORA_INSTANCE_OF std::string problem_lines(const std::vector<std::string>& problems) {
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
    text += "\n  " + problem + (count > 1 ? message({" (and ", count - 1, " more like this)"}) : "");
    left -= count;
  }
  return left > 0 ? message({text, "\n  and ", left, " more problems"}) : text;
}

inline std::string cause_and_count(const std::string& cause, const std::vector<std::string>& problems) {
  if (problems.size() < 2) return " " + cause;
  return message({" ", cause, "\n  (", problems.size(), " problems, the first: ", problems.front(), ")"});
}

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

SBORA_INSTANCE_OF checkpoint_error::checkpoint_error(const std::string& what, std::vector<std::string> problems,
                                                     const std::string& cause)
    : error("sbora: " + what + ":" +
            (cause.empty() ? detail::problem_lines(problems) : detail::cause_and_count(cause, problems))),
      problems_(std::move(problems)),
      cause_(cause) {}

}  // namespace sbora::inline SBORA_ABI
