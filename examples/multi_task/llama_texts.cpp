#include "multi_task/llama_texts.hpp"

#include <filesystem>

#include <fmt/core.h>

#include "common/error.hpp"
#include "common/json_file.hpp"

namespace multi_task {
namespace {

constexpr index_t cutoff_len = 256;

void require(const std::filesystem::path& file, const char* why) {
  std::error_code status;
  if (!std::filesystem::is_regular_file(file, status)) throw input_error(file.string() + ": no such file; " + why);
}

}  // namespace

std::vector<llama_text> load_texts(const options& set, const llama::tokenizer& by, index_t vocab_size) {
  const std::filesystem::path folder(set.data_path);
  const std::filesystem::path base_text =
      set.base_text.empty() ? folder / "DATA_LICENSE" : std::filesystem::path(set.base_text);
  for (const paper_task& task : paper_tasks) {
    for (const char* file : {task.training, task.test}) {
      require(folder / file, "--data_path is the folder of the paper's data, LLM-Adapters' arithmetic and commonsense");
    }
  }
  require(base_text, "--base_text is a text that the model isn't to forget");

  const llama::dataset_options how = {{.cutoff_len = cutoff_len, .train_on_inputs = false}, vocab_size};
  std::vector<llama_text> texts;
  for (const paper_task& task : paper_tasks) {
    llama_text text{load_dataset(folder / task.training, &by, how), load_dataset(folder / task.test, &by, how)};
    const auto rows = static_cast<std::size_t>(set.test_rows);
    if (rows < text.held_out.examples.size()) text.held_out.examples.resize(rows);
    const index_t there = std::ssize(text.training.examples);
    if (there < set.train_rows) {
      throw input_error(fmt::format("--train_rows: {} has {} rows", task.training, there));
    }
    texts.push_back(std::move(text));
  }
  const llama::token_ids all = by.encode(read_file(base_text), true);
  llama_text base;
  const auto stretch = [&](index_t begin) {
    const llama::token_ids own(all.begin() + begin, all.begin() + begin + cutoff_len);
    return llama::example{own, own};
  };
  for (index_t at = 0; at + 2 * cutoff_len <= std::ssize(all) && at < 2 * set.text_tokens; at += 2 * cutoff_len) {
    base.held_out.examples.push_back(stretch(at));
    base.training.examples.push_back(stretch(at + cutoff_len));
  }
  if (base.held_out.examples.empty()) {
    throw input_error(fmt::format("{}: too short; at least {} tokens are needed", base_text.string(), 2 * cutoff_len));
  }
  texts.push_back(std::move(base));
  return texts;
}

}  // namespace multi_task
