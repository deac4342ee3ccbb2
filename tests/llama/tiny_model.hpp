#pragma once

#include <cstdint>
#include <vector>

#include <sbora/core/random.hpp>

#include "model/model.hpp"

namespace llama::test {

/// Odd sizes, grouped queries, untied.
inline model_config tiny_config() {
  model_config config;
  config.vocab_size = 61;
  config.hidden_size = 24;
  config.intermediate_size = 42;
  config.num_hidden_layers = 3;
  config.num_attention_heads = 6;
  config.num_key_value_heads = 2;
  config.head_dim = 6;
  config.max_position_embeddings = 64;
  config.rms_norm_eps = 1e-5;
  return config;
}

/// All that architectures differ in: 1 has biases, norms of heads, windows and a layer without rotation; 2 has fused
/// layers and multipliers; 0 is LLaMA.
inline model_config tiny_config_of(int architecture) {
  model_config config = tiny_config();
  llama::architecture& arch = config.arch;
  if (architecture == 1) {
    arch.qkv_bias = arch.output_bias = arch.mlp_bias = arch.head_norms = true;
    arch.layers = {{.rotary = true, .window = 4}, {.rotary = false}, {.rotary = false, .window = 9}};
  }
  if (architecture == 2) {
    arch.fused = arch.qkv_bias = true;
    arch.embedding_multiplier = 3;
    arch.residual_multiplier = 0.7;
    arch.attention_multiplier = 0.3;
    arch.logits_divisor = 2;
  }
  return config;
}

inline token_batch random_batch(const model_config& config, const std::vector<index_t>& lengths, std::uint64_t seed) {
  sbora::random_stream random(seed);
  token_batch batch;
  batch.sequences = std::ssize(lengths);
  batch.length = *std::max_element(lengths.begin(), lengths.end());
  for (const index_t length : lengths) {
    for (index_t t = 0; t < batch.length; ++t) {
      const bool padding = t < batch.length - length;
      const auto id = static_cast<std::int32_t>(random.below(config.vocab_size));
      batch.tokens.push_back(padding ? 0 : id);
      batch.mask.push_back(!padding);
      // Some tokens aren't scored.
      batch.labels.push_back(padding || t % 4 == 1 ? token_batch::not_scored : id);
    }
  }
  return batch;
}

/// Sequence i of a batch without its padding.
inline token_batch alone(const token_batch& batch, index_t i) {
  token_batch one;
  one.sequences = 1;
  for (index_t t = 0; t < batch.length; ++t) {
    const auto at = static_cast<std::size_t>(i * batch.length + t);
    if (!batch.mask[at]) continue;
    one.tokens.push_back(batch.tokens[at]);
    one.labels.push_back(batch.labels[at]);
    one.mask.push_back(1);
    ++one.length;
  }
  return one;
}

/// Ten times the usual deviation: with 0.02 and these widths attention would be all but uniform.
inline model loud_model(const model_config& config, std::uint64_t seed) {
  model made = model::random(config, seed);
  made.train_all_weights();
  for (float& value : made.parameters()) {
    if (value != 1.0f) value *= 10;
  }
  made.attach({});
  return made;
}

inline adapter_plan plan_for(adapter_method method, double dropout = 0) {
  return {.method = method,
          .rank = 5,
          .alpha = 7,
          .dropout = dropout,
          .rslora = false,
          .target_modules = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"},
          .seed = 11};
}

/// Attaches and fills the trained halves with numbers; on all layers of a model that has fused ones.
inline void attach_filled(model& to, adapter_plan plan) {
  if (to.config().arch.fused) plan.target_modules = {"qkv_proj", "o_proj", "gate_up_proj", "down_proj"};
  to.attach(plan);
  sbora::random_stream random(3);
  for (float& value : to.parameters()) value = static_cast<float>(0.2 * random.uniform() - 0.1);
}

}  // namespace llama::test
