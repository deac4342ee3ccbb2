#pragma once

#include <string>
#include <vector>

#include "model/adapter_plan.hpp"
#include "model/config.hpp"

namespace llama {

/// "sbora_fa" and the like, as --adapter_name has it.
const char* method_name(adapter_method method);

/// A linear layer that gets an adapter; number: counted through all blocks.
struct adapted_layer {
  index_t number;
  std::string name;
  index_t d_out, d_in;
  std::size_t parameters;
};

/// What the official scripts adapt: q, k, v, up and down, or the fused layers that hold them.
std::vector<std::string> default_targets(const model_config& config);

/// Those that a plan chooses, known from the configuration alone. Errors: input_error for options that are out of
/// range, a target module that the model doesn't have, a rank that is larger than a layer.
std::vector<adapted_layer> adapted_layers(const model_config& config, const adapter_plan& plan);

/// Of all of them.
std::size_t parameter_count(const std::vector<adapted_layer>& layers);

}  // namespace llama
