#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "data/answers.hpp"
#include "data/dataset.hpp"
#include "text/tokenizer.hpp"

namespace llama {

/// One of the paper's test sets, checked before any long work.
struct test_file {
  std::string name;  ///< the file's, without folder and extension
  std::vector<task_row> rows;
  answer_rule rule;
};

/// Errors: input_error that names file, row and field.
test_file read_test_file(const std::filesystem::path& path);

/// How a test set was answered.
struct evaluation {
  struct row {
    std::string response, predicted;
    bool correct = false;
  };
  std::string name;
  std::vector<row> rows;  ///< in the order of the file
  index_t correct = 0;
  index_t unanswered = 0;  ///< responses in which no answer was found; they count as wrong

  double accuracy() const { return static_cast<double>(correct) / static_cast<double>(rows.size()); }
};

struct evaluation_options {
  index_t batch_size = 8;
  index_t max_new_tokens = 0;  ///< 0: as the official scripts for this kind of answer
  index_t max_rows = 0;        ///< above 0: only the first ones of the file
  /// Called after every batch with the rows done, all of them, the correct ones so far, and the batch's new tokens.
  std::function<void(index_t, index_t, index_t, std::int64_t)> progress;
};

/// What goes on from prompts of token ids: generate() with a decoder.
using generator = std::function<std::vector<token_ids>(const std::vector<token_ids>& prompts, index_t max_new_tokens)>;

/// Lets a model answer a test set and marks the answers as the official scripts do, except that it decodes
/// greedily where they search four beams, and that a row's input is part of its prompt. Prompts of like length
/// share a batch; results don't depend on the batches.
evaluation evaluate_answers(const test_file& test, const tokenizer& by, const generator& model,
                            const evaluation_options& options);

/// The rows as the official scripts save them: the file's fields, output_pred, pred and flag.
std::string evaluation_json(const test_file& test, const evaluation& result);

/// For programs: `result KEY VALUE` lines; keys begin with `prefix`.
std::string evaluation_lines(const evaluation& result, const std::string& prefix);

}  // namespace llama
