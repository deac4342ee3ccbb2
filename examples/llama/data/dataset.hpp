#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "data/prompt.hpp"
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

/// What there is to train on in a file, by its content and its name (common/data_file.hpp):
///   rows    through the prompt template; a row may be {"input_ids": [...], "labels": [...]} instead, which needs no
///           tokenizer; without labels all tokens are scored
///   text    in stretches of cutoff_len tokens, all scored
/// Errors      input_error that names file, row or line, and field; or what kind of file is expected.
dataset load_dataset(const std::filesystem::path& path, const tokenizer* by, const dataset_options& options);

}  // namespace llama
