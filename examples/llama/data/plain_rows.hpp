#pragma once

#include <string>
#include <vector>

#include "data/dataset.hpp"

namespace llama {

/// A row without the prompt template (plain_prompt, plain_response, end of sequence) as tokens, cut to cutoff_len.
/// Where inputs aren't trained on, only the response is scored.
example tokenise_plain(const task_row& row, const tokenizer& by, const prompt_options& options);

/// The task of the embedded cycle where no --data_path is named.
std::vector<task_row> generated_task_rows(std::uint64_t seed, index_t count);

}  // namespace llama
