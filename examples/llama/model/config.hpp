#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "common/matrix.hpp"
#include "model/architecture.hpp"

namespace llama {

/// LLaMA-3's rescaling of the rotary frequencies for contexts longer than the original.
struct rope_scaling {
  double factor = 8;
  double low_freq_factor = 1;
  double high_freq_factor = 4;
  double original_max_position_embeddings = 8192;
};

/// What config.json says of a model, under its names.
struct model_config {
  index_t vocab_size = 32000;
  index_t hidden_size = 4096;
  index_t intermediate_size = 11008;
  index_t num_hidden_layers = 32;
  index_t num_attention_heads = 32;
  index_t num_key_value_heads = 32;
  index_t head_dim = 128;
  index_t max_position_embeddings = 2048;
  double rms_norm_eps = 1e-6;
  double rope_theta = 10000;
  std::optional<rope_scaling> scaling;
  std::vector<float> frequency_divisors;  ///< of the rotary frequencies, where a GGUF file has scaled ones
  bool tie_word_embeddings = false;
  std::optional<std::int32_t> bos_token_id, pad_token_id;
  std::vector<std::int32_t> eos_token_ids;  ///< none, one, or several as in LLaMA-3's instruct models
  std::vector<std::string> unread_fields;   ///< of the file, which change nothing in this architecture
  architecture arch;                        ///< what is computed with all that

  index_t query_size() const { return num_attention_heads * head_dim; }
  index_t key_value_size() const { return num_key_value_heads * head_dim; }
};

/// Reads a config.json. What this model doesn't compute (another architecture or activation, other rotary scalings,
/// ...) and what is missing or inconsistent is an input_error that names it. Fields that transformers' class of that
/// name doesn't read either change nothing; they are listed.
model_config read_config(const std::filesystem::path& file);

/// That of a --base_model: a folder's config.json, or a GGUF file's metadata, which says it in other words. Errors:
/// input_error.
model_config read_base_config(const std::filesystem::path& base_model);

/// The text of a config.json that read_config() and transformers read back, for weights of that type.
std::string config_text(const model_config& config, const std::string& dtype = "float32");

/// Checks sizes that came from elsewhere than a file. Errors: input_error.
void check_config(const model_config& config);

}  // namespace llama
