#pragma once

#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "common/matrix.hpp"

namespace llama {

/// A window that is no limit.
inline constexpr index_t all_keys = std::numeric_limits<index_t>::max();

/// What one layer's attention knows of positions.
struct layer_rule {
  bool rotary = true;         ///< q and k are turned by them
  index_t window = all_keys;  ///< keys that a query sees, its own the last of them
};

/// What a model computes, where the supported architectures differ; as it is here, LlamaForCausalLM. families.cpp reads
/// it from config.json. Everything else asks this, never for an architecture's name.
struct architecture {
  std::string model_type = "llama";
  std::string class_name = "LlamaForCausalLM";
  bool qkv_bias = false, output_bias = false;  ///< of the attention's linear layers
  bool mlp_bias = false;
  bool head_norms = false;      ///< each head of q and k has an RMSNorm, before it is turned
  bool adjacent_pairs = false;  ///< what is rotated together: elements 2i and 2i + 1 of a head; else i and i + d/2
  bool fused = false;           ///< qkv_proj stands for q, k and v, gate_up_proj for gate and up
  double embedding_multiplier = 1;
  double residual_multiplier = 1;              ///< of what is added to the residual stream
  std::optional<double> attention_multiplier;  ///< of q·k; 1/sqrt(head_dim) without
  double logits_divisor = 1;
  std::vector<layer_rule> layers;  ///< of every layer; empty: all as by default
  std::string fields = "{}";       ///< of config.json that all this was read from, as a JSON object

  layer_rule layer(index_t number) const {
    return layers.empty() ? layer_rule{} : layers[static_cast<std::size_t>(number)];
  }
};

}  // namespace llama
