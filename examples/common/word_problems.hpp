#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <sbora/core/random.hpp>

/// Word problems from a built-in grammar, so that the examples need no data files. Draws come from
/// sbora's counter-based generator: a seed gives the same text on every machine and compiler.
///
/// Base and task problems are about the same people and things, as a base model should know them; the
/// questions, the sums and the form of the answers differ.
namespace word_problems {

using sbora::index_t;

/// What a {slot} may become; the alternatives can have slots themselves.
inline const std::map<std::string_view, std::vector<std::string_view>> rules = {
    {"name",
     {"Ada", "Ben", "Carla", "Deniz", "Emil", "Fatima", "Gita", "Hiro", "Ines", "Jonas", "Kofi", "Lena", "Mara",
      "Nikos", "Olga", "Pavel"}},
    {"person", {"{name}", "a {kin}", "an old {kin}", "a young {kin}"}},
    {"kin", {"sister", "brother", "cousin", "grandfather", "best friend", "neighbour"}},
    {"things",
     {"marbles", "stamps", "pencils", "shells", "buttons", "stickers", "coins", "cards", "apples", "melons", "tomatoes",
      "onions", "eggs", "loaves of bread", "books"}},
    {"holder", {"case", "basket", "crate", "bag", "tray", "jar", "carton", "drawer"}},
    {"colour", {"red", "blue", "green", "yellow", "silver", "small", "large", "old", "new"}},
    {"place",
     {"at home", "at the market", "in the garden", "on the bus", "at school", "in the shop", "at the station",
      "near the river", "behind the house"}},
    {"day", {"On Monday", "On Friday", "Last week", "This morning", "In June", "After lunch"}},
    {"gets", {"finds", "buys", "is given", "collects", "wins", "picks up", "borrows"}},
    {"loses", {"sells", "gives away", "loses", "breaks", "lends", "leaves {place}"}},

    {"base_story",
     {"{hero} has {a} {thing} {place}. {day} {hero} {gets} {b} {colour} ones.",
      "{day} {hero} {gets} {a} {thing}, and {person} {gets} {b} more {place}.",
      "There are {a} {colour} {thing} {place}. {person} brings {b} {colour} ones and puts them in "
      "a {holder}.",
      "{hero} keeps {a} {thing} in a {holder} and {b} in a {colour} {holder} {place}."}},
    {"base_question",
     {"How many {thing} are there now?", "How many {thing} is that together?",
      "What is the number of {thing} in all?"}},
    {"task_story",
     {"{hero} fills {a} {colour} {holder}s with {b} {thing} each and then {loses} {c} of them.",
      "Every day {hero} {gets} {b} {thing}. {a} days later, {person} {loses} {c} of them.",
      "{hero} {gets} {a} packs of {b} {thing} {place}. {day}, {hero} {loses} {c} {thing}."}},
    {"task_question",
     {"How many {thing} does {hero} still have?", "How many {thing} remain?",
      "Find how many of the {thing} are left."}}};

using bindings = std::map<std::string_view, std::string>;

/// Replaces every {slot} by its bound value or else by a random alternative of its rule.
inline std::string expand(std::string_view pattern, const bindings& bound, sbora::random_stream& random) {
  std::string result;
  for (std::size_t at = 0; at < pattern.size();) {
    if (pattern[at] != '{') {
      result += pattern[at++];
      continue;
    }
    const std::size_t close = pattern.find('}', at);
    const std::string_view slot = pattern.substr(at + 1, close - at - 1);
    if (const auto found = bound.find(slot); found != bound.end()) {
      result += found->second;
    } else {
      const auto& choices = rules.at(slot);
      const auto choice = static_cast<std::size_t>(random.below(std::ssize(choices)));
      result += expand(choices[choice], bound, random);
    }
    at = close + 1;
  }
  return result;
}

inline index_t number(index_t least, index_t most, sbora::random_stream& random) {
  return least + random.below(most - least + 1);
}

struct problem {
  std::string question;
  std::string response;  ///< with the working written out
  std::string answer;
};

/// A sum with four answers to choose from.
inline problem base_problem(sbora::random_stream& random) {
  const index_t a = number(2, 99, random);
  const index_t b = number(2, 99, random);
  const index_t right = number(1, 4, random);
  bindings bound = {{"a", std::to_string(a)}, {"b", std::to_string(b)}};
  bound["hero"] = expand("{name}", bound, random);
  bound["thing"] = expand("{things}", bound, random);
  std::string text = "Please choose the right answer: ";
  text += expand("{base_story} {base_question}", bound, random) + "\n\n";
  for (index_t choice = 1; choice <= 4; ++choice) {
    const index_t wrong = a + b + (choice - right) * number(1, 9, random);
    text += "Answer" + std::to_string(choice) + ": " + std::to_string(choice == right ? a + b : wrong) +
            (choice < 4 ? " " : "\n\n");
  }
  const std::string answer = "answer" + std::to_string(right);
  return {text, "the right answer is " + answer, answer};
}

/// A product and a difference with the working written out.
inline problem task_problem(sbora::random_stream& random) {
  const index_t a = number(2, 12, random);
  const index_t b = number(3, 20, random);
  const index_t c = number(1, a * b - 1, random);
  bindings bound = {{"a", std::to_string(a)}, {"b", std::to_string(b)}, {"c", std::to_string(c)}};
  bound["hero"] = expand("{name}", bound, random);
  bound["thing"] = expand("{things}", bound, random);
  const std::string text = expand("{task_story} {task_question}", bound, random);
  const std::string product = std::to_string(a * b);
  const std::string left = std::to_string(a * b - c);
  return {text + "\n",
          "A: The " + bound["thing"] + " were " + bound["a"] + " * " + bound["b"] + " = " + product + ". So " +
              product + " - " + bound["c"] + " = " + left + " are left. The answer is " + left + ".",
          left};
}

/// Problem i is the same whatever the number of them.
template <class Problem>
std::vector<problem> problems(std::uint64_t seed, std::uint64_t stream, index_t count, Problem one) {
  sbora::random_stream random(seed, stream);
  std::vector<problem> result;
  for (index_t i = 0; i < count; ++i) result.push_back(one(random));
  return result;
}

inline std::vector<problem> base_problems(std::uint64_t seed, index_t count) {
  return problems(seed, 1, count, base_problem);
}
inline std::vector<problem> task_problems(std::uint64_t seed, index_t count) {
  return problems(seed, 2, count, task_problem);
}

/// Problems until there are at least `bytes` of text.
template <class Problem>
std::string text(std::uint64_t seed, std::uint64_t stream, std::size_t bytes, Problem one) {
  sbora::random_stream random(seed, stream);
  std::string result;
  while (result.size() < bytes) {
    const problem next = one(random);
    result += next.question + next.response + "\n\n";
  }
  return result;
}

inline std::string base_text(std::uint64_t seed) { return text(seed, 1, 1'000'000, base_problem); }
inline std::string task_text(std::uint64_t seed) { return text(seed, 2, 500'000, task_problem); }

}  // namespace word_problems
