#pragma once

#include <span>
#include <string>
#include <vector>

#include "model/config.hpp"
#include "weights/tensors.hpp"

namespace llama {

/// Those that a model of this configuration has.
std::vector<tensor_shape> tensors_of(const model_config& config);

/// Checks that all are there, of the right shape, and no others. Errors: input_error that lists all problems.
void check_tensors(const tensor_source& source, std::span<const std::string> names,
                   const std::vector<tensor_shape>& expected, bool tied);

/// What of a checkpoint's tensors isn't computed with, though they are there, is looked at here.
///
/// Effect      a head beside a tied embedding: where it is equal, it is the embedding; where it isn't, the
///             configuration becomes untied, as transformers 5 has it; where the embedding isn't there, the head stands
///             for it. Rotary frequencies of old files follow from the configuration, as in transformers.
/// Returns     a line for each of these that users should know of
std::vector<std::string> settle_unused_tensors(checkpoint_tensors& tensors, model_config& config);

}  // namespace llama
