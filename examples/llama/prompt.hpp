#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "text/tokenizer.hpp"

namespace llama {

/// One task of the paper's data.
struct task_row {
  std::string instruction;
  std::string input;  ///< may be empty
  std::string output;
  std::string answer;
};

/// A sequence to learn. labels[t] is tokens[t] where it is scored, else token_batch::not_scored.
struct example {
  token_ids tokens;
  std::vector<std::int32_t> labels;
};

struct prompt_options {
  index_t cutoff_len = 256;
  bool train_on_inputs = true;  ///< false: only what comes after the prompt is scored
};

/// The text that the official finetune.py trains on, with the output at its end.
std::string training_prompt(const task_row& row);

/// The text that the official evaluate.py and commonsense_evaluate.py let the model go on from. It isn't quite
/// training_prompt() without the output: the two scripts differ in blanks, and so do we.
std::string evaluation_prompt(const task_row& row);

/// A row as finetune.py tokenises it: cut to cutoff_len tokens, and ended with the end of sequence where that
/// leaves room for it. Where inputs aren't trained on, as many labels are masked as the prompt without its
/// output has tokens, which is not to the token where the output merges with the blanks before it.
/// Errors      input_error for a tokenizer without an end of sequence.
example tokenise(const task_row& row, const tokenizer& by, const prompt_options& options);

}  // namespace llama
