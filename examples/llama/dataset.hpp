#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "prompt.hpp"
#include "text/tokenizer.hpp"

namespace llama {

/// What a model is trained on, as tokens, in the order of the file.
struct dataset {
  std::vector<example> examples;
  index_t cut = 0;             ///< examples of which cutoff_len left only a part
  index_t unscored = 0;        ///< examples in which nothing is scored: the prompt alone fills cutoff_len
  index_t without_output = 0;  ///< rows with an empty output, which teach the end of sequence at once

  /// For people: "3260 examples, 12 cut at cutoff_len, ...".
  std::string summary() const;
};

struct dataset_options {
  prompt_options prompt;
  index_t vocab_size = 0;  ///< of the model: a token beyond it is an error
};

/// Rows of a JSON array of objects with the fields instruction, output, input (may be missing) and answer
/// (may be missing); other fields are ignored.
/// Errors      input_error that names file, row and field: wrong types, missing fields, an empty instruction,
///             no rows at all.
std::vector<task_row> read_task_rows(const std::filesystem::path& path);

/// Reads by the file's extension:
///   .json   rows as read_task_rows() has them, through the prompt template
///   .jsonl  a row a line, or {"input_ids": [...], "labels": [...]}, which needs no tokenizer; without labels
///           all tokens are scored
///   other   plain text in stretches of cutoff_len tokens, all scored
/// Errors      input_error that names file, row or line, and field.
dataset load_dataset(const std::filesystem::path& path, const tokenizer* by, const dataset_options& options);

}  // namespace llama
