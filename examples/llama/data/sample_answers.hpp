#pragma once

#include <span>
#include <string>

#include "data/dataset.hpp"
#include "data/evaluation.hpp"
#include "text/tokenizer.hpp"

namespace llama {

/// A few rows for the eye: what is asked, what the row says, and what the model says to it: the first
/// ones of `rows` that are of the prompt template, as task rows are, and whole. Empty where there are none.
std::string sample_answers(const dataset& data, std::span<const index_t> rows, const tokenizer& by,
                           const generator& model);

}  // namespace llama
