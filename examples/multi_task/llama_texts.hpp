#pragma once

#include <array>

#include "data/dataset.hpp"
#include "multi_task/options.hpp"
#include "text/tokenizer.hpp"

namespace multi_task {

/// A task of the paper's data, by its files.
struct paper_task {
  const char* name;
  const char* training;
  const char* test;
};

inline constexpr std::array<paper_task, 4> paper_tasks = {{
    {"arithmetic", "arithmetic/train.json", "arithmetic/test_svamp.json"},
    {"BoolQ", "commonsense/train_boolq.json", "commonsense/test_boolq.json"},
    {"OpenBookQA", "commonsense/train_openbookqa.json", "commonsense/test_openbookqa.json"},
    {"ARC-Easy", "commonsense/train_arc_easy.json", "commonsense/test_arc_easy.json"},
}};

/// Tokens of a text: what there is to train on, and what is measured. Of rows, the answers are scored.
struct llama_text {
  llama::dataset training;  ///< of the base text: what columns are scored by, and nothing is trained on
  llama::dataset held_out;
};

/// Those of the tasks, then the base text, of which every other stretch is measured. Errors: input_error.
std::vector<llama_text> load_texts(const options& set, const llama::tokenizer& by, index_t vocab_size);

}  // namespace multi_task
