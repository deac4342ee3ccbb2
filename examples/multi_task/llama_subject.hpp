#pragma once

#include <filesystem>
#include <memory>

#include "model/model.hpp"
#include "multi_task/options.hpp"
#include "multi_task/subject.hpp"
#include "text/tokenizer.hpp"

namespace multi_task {

/// A LLaMA with the tasks of the paper's data: arithmetic, BoolQ, OpenBookQA and ARC-Easy. Adapted are q, v, up and
/// down. What is trained is kept beside the results, in FILE.adapters, until its seed is done.
///
/// Errors      input_error for a model or data that can't be read.
std::unique_ptr<subject> make_llama_subject(const options& set);

/// The same of a model and a tokenizer in memory; tests have small ones.
std::unique_ptr<subject> make_llama_subject(const options& set, const llama::model& base,
                                            std::shared_ptr<const llama::tokenizer> tokenizer);

}  // namespace multi_task
