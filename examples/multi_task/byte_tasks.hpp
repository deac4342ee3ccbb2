#pragma once

#include <array>
#include <string>
#include <vector>

#include "byte_lm/corpus.hpp"
#include "common/word_problems.hpp"

namespace multi_task {

using byte_lm::corpus;
using sbora::index_t;

inline constexpr std::size_t task_count = 4;
inline constexpr std::array<const char*, task_count> task_names = {"sums", "yes or no", "days", "sorting"};

/// Whether something is more, as a question that is answered by yes or no.
inline word_problems::problem yes_or_no(sbora::random_stream& random) {
  const index_t a = word_problems::number(2, 99, random), b = word_problems::number(2, 99, random);
  const std::string things = word_problems::expand("{things}", {}, random);
  const std::string name = word_problems::expand("{name}", {}, random);
  const std::string answer = a > b ? "yes" : "no";
  return {name + " has " + std::to_string(a) + " " + things + " and needs " + std::to_string(b + 1) +
              ". Are there enough of them?\n",
          "B: " + answer + ".", answer};
}

/// The day after some days.
inline word_problems::problem days(sbora::random_stream& random) {
  constexpr std::array<const char*, 7> names = {"Monday", "Tuesday",  "Wednesday", "Thursday",
                                                "Friday", "Saturday", "Sunday"};
  const index_t today = random.below(7), later = word_problems::number(1, 13, random);
  const std::string answer = names[static_cast<std::size_t>((today + later) % 7)];
  return {"It is " + std::string(names[static_cast<std::size_t>(today)]) + ". Which day is it in " +
              std::to_string(later) + " days?\n",
          "C: it is " + answer + ".", answer};
}

/// Four numbers in order.
inline word_problems::problem sorting(sbora::random_stream& random) {
  std::array<index_t, 4> numbers;
  std::string given, sorted;
  for (index_t& number : numbers) {
    number = word_problems::number(10, 99, random);
    given += (given.empty() ? "" : " ") + std::to_string(number);
  }
  std::ranges::sort(numbers);
  for (const index_t number : numbers) sorted += (sorted.empty() ? "" : " ") + std::to_string(number);
  return {"Put " + given + " in order.\n", "D: " + sorted + ".", sorted};
}

/// Texts of the tasks, a stream of problems each.
inline std::vector<corpus> make_tasks(std::uint64_t seed) {
  constexpr std::size_t bytes = 300'000;
  const auto text = [&](std::size_t task, auto one) {
    return corpus(task_names[task], word_problems::text(seed, 10 + task, bytes, one));
  };
  return {text(0, word_problems::task_problem), text(1, yes_or_no), text(2, days), text(3, sorting)};
}

}  // namespace multi_task
