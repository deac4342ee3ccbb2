#pragma once

#include <string>

#include "model/model.hpp"

namespace llama {

/// Says why something that a model computed isn't finite, after a look at all its numbers.
///
/// what        what was seen and when, as "sbora_fa: the loss at step 3"
/// advice      what helps where the base model isn't the cause, as "try a lower --learning_rate"
/// Cost        a pass over all weights
/// Errors      always: input_error where a weight of the base isn't finite, which names its file, tensor and place;
///             else std::runtime_error, which names the adapter's or trained number that isn't, if there is one.
[[noreturn]] void throw_not_finite(const model& net, const std::string& what, const std::string& advice);

}  // namespace llama
