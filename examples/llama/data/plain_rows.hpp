#pragma once

#include <string>
#include <vector>

#include "data/dataset.hpp"

namespace llama {

/// Rows without the prompt template, for the embedded byte-level model: it would spend half of its time on the
/// template's bytes, of which it has never seen anything. Question, line feed, response, end of sequence.

/// What the model goes on from.
std::string plain_prompt(const task_row& row);
/// What should come.
std::string plain_response(const task_row& row);

/// The row as tokens, cut to cutoff_len; where inputs aren't trained on, only the response is scored.
example tokenise_plain(const task_row& row, const tokenizer& by, const prompt_options& options);

/// The task of the embedded cycle where no --data_path is named.
std::vector<task_row> generated_task_rows(std::uint64_t seed, index_t count);

}  // namespace llama
