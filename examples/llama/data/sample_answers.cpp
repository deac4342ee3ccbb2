#include "data/sample_answers.hpp"

#include <string_view>
#include <vector>

namespace llama {

namespace {

constexpr std::size_t shown_samples = 3;
constexpr index_t sample_tokens = 96;

constexpr std::string_view asked = "### Instruction:", answered = "### Response:";

/// How many of an example's tokens are asked with: up to the template's last words. 0: it isn't of the template.
std::size_t length_of_prompt(const example& e, const tokenizer& by) {
  for (std::size_t length = 1; length < e.tokens.size(); ++length) {
    const std::string text = by.decode(std::span(e.tokens).first(length));
    if (text.find(answered) != std::string::npos) return length;
  }
  return 0;
}

/// Without the words around every question, and the blanks that scripts' templates have.
std::string without_template(const std::string& text) {
  const std::size_t begin = text.rfind(asked);
  std::string line;
  for (const char c : begin == std::string::npos ? text : text.substr(begin + asked.size())) {
    const bool blank = c == ' ' || c == '\n';
    if (!blank) {
      line += c;
    } else if (!line.empty() && line.back() != ' ') {
      line += ' ';
    }
  }
  return line.substr(0, line.rfind(answered));
}

}  // namespace

std::string sample_answers(const dataset& data, std::span<const index_t> rows, const tokenizer& by,
                           const generator& model) {
  std::vector<token_ids> prompts, expected;
  for (const index_t row : rows) {
    const example& e = data.examples[static_cast<std::size_t>(row)];
    const auto answer = e.tokens.begin() + static_cast<std::ptrdiff_t>(length_of_prompt(e, by));
    if (e.cut || answer == e.tokens.begin()) continue;
    prompts.emplace_back(e.tokens.begin(), answer);
    expected.emplace_back(answer, e.tokens.end());
    if (prompts.size() == shown_samples) break;
  }
  if (prompts.empty()) return "";
  const std::vector<token_ids> answers = model(prompts, sample_tokens);
  std::string text;
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    text += "\nquestion: " + without_template(by.decode(prompts[i])) +
            "\nexpected: " + without_template(by.decode(expected[i])) +
            "\nanswered: " + without_template(by.decode(answers[i])) + "\n";
  }
  return text;
}

}  // namespace llama
