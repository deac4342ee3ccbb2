#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/rows.hpp"
#include "text/tokenizer.hpp"

namespace llama {

/// A sequence to learn. labels[t] is tokens[t] where it is scored, else token_batch::not_scored.
struct example {
  token_ids tokens;
  std::vector<std::int32_t> labels;
  bool cut = false;  ///< cutoff_len left only a part of the text
};

/// Whether any token is: the first has nothing before it that it could be predicted from.
bool is_scored(const example& e);

struct prompt_options {
  index_t cutoff_len = 256;
  bool train_on_inputs = true;  ///< false: only what comes after the prompt is scored
};

/// The text that the official finetune.py trains on, with the output at its end.
std::string training_prompt(const task_row& row);

/// The text that the official evaluate.py and commonsense_evaluate.py let the model go on from. It isn't quite
/// training_prompt() without the output: the two scripts differ in blanks, and so do we.
std::string evaluation_prompt(const task_row& row);

/// The tokens of a text that is to be gone on from: what the tokenizer puts before a text, the text, and not what it
/// puts after one (the end of sequence of add_eos_token), as nothing comes after an end.
token_ids encode_prompt(std::string_view text, const tokenizer& by);

/// A row as finetune.py tokenises it: cut to cutoff_len tokens, and ended with the end of sequence where that
/// leaves room for it. Where inputs aren't trained on, as many labels are masked as encode_prompt() has tokens for the
/// prompt without its output, which is not to the token where the output merges with the blanks before it.
/// Errors      input_error for a tokenizer without an end of sequence.
example tokenise(const task_row& row, const tokenizer& by, const prompt_options& options);

}  // namespace llama
