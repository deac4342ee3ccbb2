#pragma once

#include <string>
#include <vector>

#include "model/config.hpp"

namespace llama {

/// A linear layer of a block, as a checkpoint names it: "self_attn.q_proj".
struct linear_layer {
  std::string name;
  index_t d_out, d_in;
  bool has_bias;
};

/// Those of one block, in the order of the computation: what the attention's input goes through, o_proj, what the MLP's
/// goes through, down_proj.
std::vector<linear_layer> linear_layers(const model_config& config);

}  // namespace llama
