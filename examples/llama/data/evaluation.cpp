#include "data/evaluation.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

#include <fmt/core.h>
#include <nlohmann/json.hpp>

namespace llama {

test_file read_test_file(const std::filesystem::path& path) {
  test_file test;
  test.name = path.stem().string();
  test.rows = read_task_rows(path);
  test.rule = rule_of(test.rows, path.string());
  return test;
}

evaluation evaluate_answers(const test_file& test, const tokenizer& by, const generator& model,
                            const evaluation_options& options) {
  const std::size_t all = test.rows.size();
  const std::size_t count = options.max_rows > 0 ? std::min(all, static_cast<std::size_t>(options.max_rows)) : all;
  const index_t max_new_tokens = options.max_new_tokens > 0 ? options.max_new_tokens : test.rule.max_new_tokens;

  std::vector<token_ids> prompts;
  for (std::size_t i = 0; i < count; ++i) prompts.push_back(encode_prompt(evaluation_prompt(test.rows[i]), by));
  std::vector<std::size_t> by_length(count);
  std::iota(by_length.begin(), by_length.end(), std::size_t{0});
  std::stable_sort(by_length.begin(), by_length.end(),
                   [&](std::size_t a, std::size_t b) { return prompts[a].size() < prompts[b].size(); });

  evaluation result;
  result.name = test.name;
  result.rows.resize(count);
  const auto batch_size = static_cast<std::size_t>(options.batch_size);
  for (std::size_t first = 0; first < count; first += batch_size) {
    const std::size_t last = std::min(count, first + batch_size);
    std::vector<token_ids> batch;
    for (std::size_t i = first; i < last; ++i) batch.push_back(std::move(prompts[by_length[i]]));
    const std::vector<token_ids> generated = model(batch, max_new_tokens);
    std::int64_t tokens = 0;
    for (std::size_t i = first; i < last; ++i) {
      tokens += std::ssize(generated[i - first]);
      evaluation::row& row = result.rows[by_length[i]];
      row.response = response_of(by.decode(generated[i - first]), test.rule);
      row.predicted = extract_answer(row.response, test.rule);
      row.correct = is_correct(row.predicted, test.rows[by_length[i]].answer, test.rule);
      result.correct += row.correct ? 1 : 0;
      result.unanswered += row.predicted.empty() ? 1 : 0;
    }
    if (options.progress) {
      options.progress(static_cast<index_t>(last), static_cast<index_t>(count), result.correct, tokens);
    }
  }
  return result;
}

std::string evaluation_json(const test_file& test, const evaluation& result) {
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  for (std::size_t i = 0; i < result.rows.size(); ++i) {
    const task_row& asked = test.rows[i];
    const evaluation::row& row = result.rows[i];
    rows.push_back({{"instruction", asked.instruction},
                    {"input", asked.input},
                    {"output", asked.output},
                    {"answer", asked.answer},
                    {"output_pred", row.response},
                    {"pred", row.predicted},
                    {"flag", row.correct}});
  }
  return rows.dump(4) + "\n";
}

std::string evaluation_lines(const evaluation& result, const std::string& prefix) {
  return fmt::format(
      "result {0}.accuracy {1:.4f}\nresult {0}.correct {2}\nresult {0}.rows {3}\nresult {0}.unanswered {4}\n",
      prefix + result.name, result.accuracy(), result.correct, result.rows.size(), result.unanswered);
}

}  // namespace llama
