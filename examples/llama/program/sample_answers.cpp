#include "program/sample_answers.hpp"

#include <algorithm>
#include <vector>

#include "model/decoder.hpp"
#include "model/generation.hpp"

namespace llama {

namespace {

constexpr std::size_t shown_samples = 3;
constexpr index_t sample_tokens = 96;

/// How many of an example's tokens are asked with.
std::ptrdiff_t length_of_prompt(const example& e) {
  return std::ranges::find_if(e.labels, [](std::int32_t label) { return label != token_batch::not_scored; }) -
         e.labels.begin();
}

/// Without the words around every question, and the blanks that scripts' templates have.
std::string without_template(const std::string& text) {
  const std::size_t asked = text.rfind("### Instruction:");
  std::string line;
  for (const char c : asked == std::string::npos ? text : text.substr(asked + 16)) {
    const bool blank = c == ' ' || c == '\n';
    if (!blank) {
      line += c;
    } else if (!line.empty() && line.back() != ' ') {
      line += ' ';
    }
  }
  const std::size_t response = line.rfind(" ### Response:");
  return response == std::string::npos ? line : line.substr(0, response);
}

}  // namespace

std::string sample_answers(model& net, const dataset& data, std::span<const index_t> rows, const tokenizer& by,
                           thread_pool& pool) {
  std::vector<token_ids> prompts, expected;
  for (const index_t row : rows) {
    const example& e = data.examples[static_cast<std::size_t>(row)];
    const auto length = length_of_prompt(e);
    if (length < 2 || length == std::ssize(e.tokens)) continue;
    prompts.emplace_back(e.tokens.begin(), e.tokens.begin() + length);
    expected.emplace_back(e.tokens.begin() + length, e.tokens.end());
    if (prompts.size() == shown_samples) break;
  }
  if (prompts.empty()) return "";
  decoder generation(net, pool);
  const std::vector<token_ids> answers = generate(generation, prompts, sample_tokens, by.eos());
  std::string text;
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    text += "\nquestion: " + without_template(by.decode(prompts[i])) +
            "\nexpected: " + without_template(by.decode(expected[i])) +
            "\nanswered: " + without_template(by.decode(answers[i])) + "\n";
  }
  return text;
}

}  // namespace llama
