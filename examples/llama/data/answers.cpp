#include "data/answers.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

#include "common/error.hpp"

namespace llama {

namespace {

const std::vector<answer_rule> choice_rules = {
    {{"true", "false"}, 32},                                        // BoolQ
    {{"solution1", "solution2"}, 32},                               // PIQA
    {{"answer1", "answer2", "answer3", "answer4", "answer5"}, 32},  // SIQA, ARC, OpenBookQA
    {{"ending1", "ending2", "ending3", "ending4"}, 32},             // HellaSwag
    {{"option1", "option2"}, 32},                                   // WinoGrande
    {{"A", "B", "C", "D", "E"}, 256}};                              // AQuA

constexpr std::string_view white_space = " \t\n\v\f\r";

std::string_view strip(std::string_view text) {
  const std::size_t first = text.find_first_not_of(white_space);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(white_space) + 1 - first);
}

/// The whole text as a finite number.
std::optional<double> number(std::string_view text) {
  text = strip(text);
  double value = 0;
  const char* const end = text.data() + text.size();
  const auto [parsed, error] = std::from_chars(text.data(), end, value);
  if (parsed != end || error != std::errc() || !std::isfinite(value)) return std::nullopt;
  return value;
}

bool fits(const std::string& answer, const answer_rule& rule) {
  if (rule.is_number()) return number(answer).has_value();
  return std::find(rule.choices.begin(), rule.choices.end(), answer) != rule.choices.end();
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// The last match of -?\d+\.?\d*, found as a scan from the left finds it.
std::string last_number(std::string_view text) {
  std::string_view last;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t first_digit = at + (text[at] == '-' ? 1 : 0);
    if (first_digit >= text.size() || !is_digit(text[first_digit])) {
      ++at;
      continue;
    }
    std::size_t end = first_digit;
    const auto skip_digits = [&] {
      while (end < text.size() && is_digit(text[end])) ++end;
    };
    skip_digits();
    if (end < text.size() && text[end] == '.') ++end;
    skip_digits();
    last = text.substr(at, end - at);
    at = end;
  }
  return std::string(last);
}

}  // namespace

answer_rule rule_of(const std::vector<task_row>& rows, const std::string& path) {
  answer_rule rule;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const std::string& answer = rows[i].answer;
    const std::string where = path + ": row " + std::to_string(i) + ": field \"answer\"";
    if (answer.empty()) throw input_error(where + " is missing or empty");
    if (i == 0) {
      const auto found = std::find_if(choice_rules.begin(), choice_rules.end(),
                                      [&](const answer_rule& choice) { return fits(answer, choice); });
      if (found != choice_rules.end()) rule = *found;
    }
    if (!fits(answer, rule)) {
      throw input_error(where + " = \"" + answer + "\", expected " +
                        (rule.is_number() ? "a number" : rule.choices.front() + " to " + rule.choices.back()));
    }
  }
  return rule;
}

std::string response_of(std::string_view generated, const answer_rule& rule) {
  constexpr std::string_view marker = "### Response:";
  // The scripts split prompt and response at the marker; the arithmetic one takes the part after the first,
  // the commonsense one after the last.
  if (rule.is_number() || rule.choices.front() == "A") {
    generated = generated.substr(0, generated.find(marker));
  } else if (const std::size_t last = generated.rfind(marker); last != std::string_view::npos) {
    generated.remove_prefix(last + marker.size());
  }
  return std::string(strip(generated));
}

std::string extract_answer(std::string_view response, const answer_rule& rule) {
  if (rule.is_number()) {
    std::string text(response);
    std::erase(text, ',');
    return last_number(text);
  }
  std::string_view found;
  std::size_t first = std::string_view::npos;
  for (const std::string& choice : rule.choices) {
    if (const std::size_t at = response.find(choice); at < first) {
      first = at;
      found = choice;
    }
  }
  return std::string(found);
}

bool is_correct(std::string_view predicted, std::string_view answer, const answer_rule& rule) {
  if (!rule.is_number()) return predicted == answer;
  const auto given = number(predicted);
  const auto expected = number(answer);
  return given && expected && std::abs(*given - *expected) <= 0.001;
}

}  // namespace llama
