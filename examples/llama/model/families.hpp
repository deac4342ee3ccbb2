#pragma once

#include "common/json_fields.hpp"
#include "model/architecture.hpp"

namespace llama {

/// One of transformers' architectures that are a LLaMA with known differences.
struct family {
  const char* model_type;
  const char* class_name;
  /// What transformers takes where config.json doesn't say.
  index_t num_key_value_heads;  ///< 0: num_attention_heads
  index_t head_dim;             ///< 0: hidden_size / num_attention_heads
  index_t max_position_embeddings;
  double rms_norm_eps, rope_theta;
  bool tie_word_embeddings;
  /// Fills in the differences, for as many layers as there are in it.
  void (*read)(json_fields& config, architecture& of);
};

/// By model_type and architectures, of which one may be missing. Errors: input_error that names both, and what is
/// supported.
const family& family_of(json_fields& config);

/// What a model of this family and configuration computes. Errors: input_error for what isn't supported, by name.
architecture read_architecture(json_fields& config, const family& of, index_t num_hidden_layers);

}  // namespace llama
