#include "data/plain_rows.hpp"

#include <algorithm>

#include "common/word_problems.hpp"
#include "model/batch.hpp"

namespace llama {

example tokenise_plain(const task_row& row, const tokenizer& by, const prompt_options& options) {
  example result;
  result.tokens = encode_prompt(plain_prompt(row), by);
  const std::size_t prompt = result.tokens.size();
  const token_ids response = by.encode(plain_response(row), /*add_special=*/false);
  result.tokens.insert(result.tokens.end(), response.begin(), response.end());
  result.tokens.push_back(by.eos().value());
  result.cut = std::ssize(result.tokens) > options.cutoff_len;
  if (result.cut) result.tokens.resize(static_cast<std::size_t>(options.cutoff_len));
  result.labels = result.tokens;
  if (!options.train_on_inputs) {
    std::fill_n(result.labels.begin(), std::min(prompt, result.labels.size()), token_batch::not_scored);
  }
  return result;
}

std::vector<task_row> generated_task_rows(std::uint64_t seed, index_t count) {
  std::vector<task_row> rows;
  for (const auto& problem : word_problems::task_problems(seed, count)) {
    std::string question = problem.question;
    question.pop_back();  // plain_prompt() ends the line
    rows.push_back({.instruction = question, .input = "", .output = problem.response, .answer = problem.answer});
  }
  return rows;
}

}  // namespace llama
