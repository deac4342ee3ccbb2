#include "model/linear_layers.hpp"

namespace llama {

std::vector<linear_layer> linear_layers(const model_config& config) {
  const architecture& arch = config.arch;
  const index_t hidden = config.hidden_size, inner = config.intermediate_size;
  const index_t q = config.query_size(), kv = config.key_value_size();
  std::vector<linear_layer> layers;
  if (arch.fused) {
    layers.push_back({"self_attn.qkv_proj", q + 2 * kv, hidden, arch.qkv_bias});
  } else {
    layers.push_back({"self_attn.q_proj", q, hidden, arch.qkv_bias});
    layers.push_back({"self_attn.k_proj", kv, hidden, arch.qkv_bias});
    layers.push_back({"self_attn.v_proj", kv, hidden, arch.qkv_bias});
  }
  layers.push_back({"self_attn.o_proj", hidden, q, arch.output_bias});
  if (arch.fused) {
    layers.push_back({"mlp.gate_up_proj", 2 * inner, hidden, arch.mlp_bias});
  } else {
    layers.push_back({"mlp.gate_proj", inner, hidden, arch.mlp_bias});
    layers.push_back({"mlp.up_proj", inner, hidden, arch.mlp_bias});
  }
  layers.push_back({"mlp.down_proj", hidden, inner, arch.mlp_bias});
  return layers;
}

}  // namespace llama
