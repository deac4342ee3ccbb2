#include "data/prompt.hpp"

#include <algorithm>

#include "model/batch.hpp"
#include "common/error.hpp"

namespace llama {

namespace {

/// The scripts' template strings keep the indentation of their source.
constexpr const char* indent = "                ";

/// What the two scripts differ in: blanks after the first sentence and on the lines between the parts.
struct blanks {
  const char* after_task;
  const char* after_task_with_input;
  const char* between;
};

std::string prompt(const task_row& row, const blanks& blank) {
  const std::string line = std::string("\n") + indent;
  const std::string gap = std::string("\n") + blank.between + line;
  std::string text = "Below is an instruction that describes a task";
  if (row.input.empty()) {
    text += std::string(". Write a response that appropriately completes the request.") + blank.after_task;
  } else {
    text +=
        ", paired with an input that provides further context. "
        "Write a response that appropriately completes the request.";
    text += blank.after_task_with_input;
  }
  text += "\n" + line + "### Instruction:" + line + row.instruction + gap;
  if (!row.input.empty()) text += "### Input:" + line + row.input + gap;
  return text + "### Response:" + line;
}

}  // namespace

std::string training_prompt(const task_row& row) { return prompt(row, {"  ", " ", indent}) + row.output; }

std::string evaluation_prompt(const task_row& row) { return prompt(row, {" ", "", ""}); }

bool is_scored(const example& e) {
  return std::any_of(e.labels.begin() + 1, e.labels.end(),
                     [](std::int32_t label) { return label != token_batch::not_scored; });
}

token_ids encode_prompt(std::string_view text, const tokenizer& by) {
  token_ids ids = by.encode(text, /*add_special=*/false);
  ids.insert(ids.begin(), by.before().begin(), by.before().end());
  return ids;
}

example tokenise(const task_row& row, const tokenizer& by, const prompt_options& options) {
  if (!by.eos()) {
    throw input_error(
        "the tokenizer has no end of sequence: no eos_token in tokenizer_config.json, no eos_token_id in "
        "config.json");
  }
  // Cut as Hugging Face does it: the text, not the special tokens around it.
  example result;
  result.tokens = encode_prompt(training_prompt(row), by);
  const index_t room = std::max(std::ssize(by.before()), options.cutoff_len - std::ssize(by.after()));
  result.cut = std::ssize(result.tokens) > room;
  if (result.cut) result.tokens.resize(static_cast<std::size_t>(room));
  result.tokens.insert(result.tokens.end(), by.after().begin(), by.after().end());
  const bool ended = !result.tokens.empty() && result.tokens.back() == *by.eos();
  if (!ended && std::ssize(result.tokens) < options.cutoff_len) result.tokens.push_back(*by.eos());
  result.labels = result.tokens;
  if (!options.train_on_inputs) {
    task_row unanswered = row;
    unanswered.output.clear();
    const token_ids masked = encode_prompt(training_prompt(unanswered), by);
    std::fill_n(result.labels.begin(), std::min(masked.size(), result.labels.size()), token_batch::not_scored);
  }
  return result;
}

}  // namespace llama
