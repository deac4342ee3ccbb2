#pragma once

/// Models that are measured with random weights, and tokens for them.

#include <filesystem>
#include <string>

#include <sbora/core/random.hpp>

#include "model/model.hpp"

namespace bench {

using llama::index_t;

/// SmolLM2-135M's.
inline llama::model_config smollm2() {
  llama::model_config config;
  config.vocab_size = 49152;
  config.hidden_size = 576;
  config.intermediate_size = 1536;
  config.num_hidden_layers = 30;
  config.num_attention_heads = 9;
  config.num_key_value_heads = 3;
  config.head_dim = 64;
  config.max_position_embeddings = 8192;
  config.tie_word_embeddings = true;
  return config;
}

/// The 100 M parameters of llama_step_vs_torch.
inline llama::model_config hundred_million() {
  llama::model_config config = smollm2();
  config.vocab_size = 32000;
  config.num_hidden_layers = 24;
  return config;
}

inline llama::model load(const llama::model_config& config, const std::filesystem::path& folder,
                         const llama::load_options& options, sbora::thread_pool& pool) {
  if (!std::filesystem::exists(folder / "model.safetensors")) llama::model::random(config, 1).save(folder);
  return llama::model::load(folder, options, pool);
}

/// Random tokens without padding, all of them to be predicted.
inline llama::token_batch random_tokens(const llama::model_config& config, index_t sequences, index_t length) {
  sbora::random_stream random(7);
  llama::token_batch batch;
  batch.sequences = sequences;
  batch.length = length;
  const auto size = static_cast<std::size_t>(sequences * length);
  for (std::size_t i = 0; i < size; ++i) {
    batch.tokens.push_back(static_cast<std::int32_t>(random.below(config.vocab_size)));
  }
  batch.labels = batch.tokens;
  batch.mask.assign(size, 1);
  return batch;
}

}  // namespace bench
