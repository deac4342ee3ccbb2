#pragma once

#include <span>
#include <string>

#include "data/dataset.hpp"
#include "model/model.hpp"
#include "text/tokenizer.hpp"

namespace llama {

/// A few rows for the eye: what is asked, what the row says, and what the model says to it, decoded greedily. Of the
/// first ones of `rows` that have a prompt which isn't trained on; empty where there are none.
std::string sample_answers(model& net, const dataset& data, std::span<const index_t> rows, const tokenizer& by,
                           thread_pool& pool);

}  // namespace llama
