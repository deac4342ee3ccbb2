#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>

#include <sbora/config/random.hpp>

/// Word problems from a built-in grammar, so that the example needs no data files. Draws come from
/// sbora's counter-based generator: a seed gives the same text on every machine and compiler.
namespace byte_lm::grammar {

using sbora::index_t;

using words = std::span<const std::string_view>;

inline constexpr std::string_view names[] = {"Ada",  "Ben",   "Carla", "Deniz", "Emil", "Fatima",
                                             "Gita", "Hiro",  "Ines",  "Jonas", "Kofi", "Lena",
                                             "Mara", "Nikos", "Olga",  "Pavel"};
inline constexpr std::string_view small_things[] = {"marbles", "stamps",  "pencils", "shells",
                                                    "buttons", "stickers", "coins",   "cards"};
inline constexpr std::string_view colours[] = {"red", "blue", "green", "yellow", "silver", "old"};
inline constexpr std::string_view places[] = {"in a drawer", "at the market", "under the bed",
                                              "in the garden", "on the bus"};
inline constexpr std::string_view crops[] = {"melons", "pumpkins", "cabbages", "apples",
                                             "tomatoes", "onions", "pears"};
inline constexpr std::string_view sellers[] = {"farmer", "grocer", "gardener", "trader", "cook"};
inline constexpr std::string_view boxes[] = {"crates", "baskets", "sacks", "boxes", "trays"};

inline constexpr std::string_view base_stories[] = {
    "{name} has {a} {colour} {thing}. {friend} brings {b} more. "
    "How many {thing} does {name} have now?",
    "{name} finds {a} {thing} {place} and {b} at school. How many {thing} is that?",
    "There are {a} {thing} {place}. {name} adds {b} {colour} ones. How many {thing} are there?"};
inline constexpr std::string_view task_stories[] = {
    "A {seller} fills {a} {box} with {b} {crop} each and then sells {c} {crop}. "
    "Work out how many {crop} the {seller} still owns.",
    "Every day a {seller} loads {b} {crop}. After {a} days {c} {crop} are spoilt. "
    "Work out how many good {crop} remain.",
    "A {seller} buys {a} {box}. Each of the {box} holds {b} {crop}, but {c} {crop} are eaten. "
    "Work out how many {crop} are left."};

/// Draws words and numbers for one text.
class writer {
 public:
  writer(std::uint64_t seed, std::uint64_t stream) : random_(seed, stream) {}

  std::string pick(words list) {
    return std::string(list[static_cast<std::size_t>(random_.below(std::ssize(list)))]);
  }
  index_t number(index_t least, index_t most) {
    return least + random_.below(most - least + 1);
  }

 private:
  sbora::random_stream random_;
};

/// Replaces every {slot} of a template by its value.
inline std::string fill(std::string_view pattern, const std::map<std::string, std::string>& slots) {
  std::string result;
  for (std::size_t at = 0; at < pattern.size();) {
    if (pattern[at] != '{') {
      result += pattern[at++];
      continue;
    }
    const std::size_t close = pattern.find('}', at);
    result += slots.at(std::string(pattern.substr(at + 1, close - at - 1)));
    at = close + 1;
  }
  return result;
}

/// A story about adding, with four choices to pick from.
inline std::string base_problem(writer& draw) {
  const index_t a = draw.number(2, 60);
  const index_t b = draw.number(2, 39);
  const std::string story = draw.pick(base_stories);
  std::string text = "Question: " + fill(story, {{"name", draw.pick(names)},
                                                 {"friend", draw.pick(names)},
                                                 {"thing", draw.pick(small_things)},
                                                 {"colour", draw.pick(colours)},
                                                 {"place", draw.pick(places)},
                                                 {"a", std::to_string(a)},
                                                 {"b", std::to_string(b)}});
  const index_t right = draw.number(1, 4);
  text += "\nChoices:";
  for (index_t choice = 1; choice <= 4; ++choice) {
    const index_t shown = choice == right ? a + b : a + b + choice - right + 9 * (choice % 2);
    text += " (" + std::to_string(choice) + ") " + std::to_string(shown);
  }
  return text + "\nThe correct choice is " + std::to_string(right) + "\n\n";
}

/// A story about multiplying and subtracting, with the working written out.
inline std::string task_problem(writer& draw) {
  const index_t a = draw.number(2, 12);
  const index_t b = draw.number(3, 20);
  const index_t c = draw.number(1, a * b - 1);
  const std::string story = draw.pick(task_stories);
  std::string text = "PROBLEM. " + fill(story, {{"seller", draw.pick(sellers)},
                                                {"box", draw.pick(boxes)},
                                                {"crop", draw.pick(crops)},
                                                {"a", std::to_string(a)},
                                                {"b", std::to_string(b)},
                                                {"c", std::to_string(c)}});
  const std::string product = std::to_string(a * b);
  text += "\nWORKING. " + std::to_string(a) + " * " + std::to_string(b) + " = " + product + "; " +
          product + " - " + std::to_string(c) + " = " + std::to_string(a * b - c) + ".";
  return text + "\nRESULT: " + std::to_string(a * b - c) + ".\n\n";
}

/// Problems until there are at least `bytes` of text.
template <class Problem>
std::string text(std::uint64_t seed, std::uint64_t stream, std::size_t bytes, Problem problem) {
  writer draw(seed, stream);
  std::string result;
  while (result.size() < bytes) result += problem(draw);
  return result;
}

inline std::string base_text(std::uint64_t seed) { return text(seed, 1, 600'000, base_problem); }
inline std::string task_text(std::uint64_t seed) { return text(seed, 2, 400'000, task_problem); }

}  // namespace byte_lm::grammar
