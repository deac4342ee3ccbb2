#include "model/gguf_config.hpp"

#include <sbora/io/gguf/gguf_names.hpp>

#include "common/gguf_fields.hpp"
#include "model/families.hpp"

namespace llama {
namespace {

constexpr const char* divisors_name = "rope_freqs.weight";

/// Keys of the architecture that are numbers, and what config.json calls them, where both may be missing.
constexpr std::pair<const char*, const char*> gguf_numbers[] = {{"embedding_scale", "embedding_multiplier"},
                                                                {"residual_scale", "residual_multiplier"},
                                                                {"attention.scale", "attention_multiplier"},
                                                                {"logit_scale", "logits_scaling"}};

}  // namespace

sbora::gguf_file open_gguf(const std::filesystem::path& model) {
  try {
    return sbora::gguf_file::open(model);
  } catch (const sbora::error& error) {
    throw input_error(error.what());
  }
}

nlohmann::json gguf_config(const sbora::gguf_file& file) {
  const gguf_fields fields(file);
  const std::string architecture = fields.text("general.architecture"), prefix = architecture + ".";
  // Its name is transformers' model_type.
  nlohmann::json config = {{"model_type", architecture},
                           {"hidden_size", fields.count(prefix + "embedding_length")},
                           {"intermediate_size", fields.count(prefix + "feed_forward_length")},
                           {"num_hidden_layers", fields.count(prefix + "block_count")},
                           {"max_position_embeddings", fields.count(prefix + "context_length")},
                           {"rms_norm_eps", fields.number(prefix + "attention.layer_norm_rms_epsilon")},
                           {"rope_theta", fields.number(prefix + "rope.freq_base", 1e4)},
                           {"tie_word_embeddings", file.find("output.weight") == nullptr}};
  const index_t heads = fields.count(prefix + "attention.head_count");
  if (heads == 0) fields.fail(prefix + "attention.head_count is 0");
  const index_t head_dim =
      fields.count(prefix + "attention.key_length", fields.count(prefix + "embedding_length") / heads);
  config["num_attention_heads"] = heads;
  config["num_key_value_heads"] = fields.count(prefix + "attention.head_count_kv", heads);
  config["head_dim"] = head_dim;
  const auto require = [&](const std::string& key, index_t expected) {
    const index_t found = fields.count(prefix + key, expected);
    if (found == expected) return;
    fields.fail(prefix + key + " = " + std::to_string(found) + " is not supported, only " + std::to_string(expected));
  };
  require("attention.value_length", head_dim);
  require("rope.dimension_count", head_dim);
  require("expert_count", 0);
  if (const std::string scaling = fields.text(prefix + "rope.scaling.type", "none"); scaling != "none") {
    fields.fail(prefix + "rope.scaling.type = \"" + scaling + "\" is not supported, only none and " + divisors_name);
  }
  for (const auto& [key, name] : gguf_numbers) {
    if (fields.has(prefix + key)) config[name] = fields.number(prefix + key);
  }
  if (fields.has(prefix + "attention.sliding_window")) {
    config["sliding_window"] = fields.count(prefix + "attention.sliding_window");
  }
  if (const sbora::gguf_tensor* const table = file.find("token_embd.weight"); table && table->shape.size() == 2) {
    config["vocab_size"] = table->shape[0];
  } else {
    fields.fail("no token_embd.weight of two dimensions");
  }
  if (file.find("blk.0.attn_output.bias")) config["attention_bias"] = true;
  if (file.find("blk.0.ffn_up.bias")) config["mlp_bias"] = true;
  for (const auto& [key, name] :
       {std::pair("bos", "bos_token_id"), std::pair("eos", "eos_token_id"), std::pair("padding", "pad_token_id")}) {
    const auto id = fields.optional_count(std::string("tokenizer.ggml.") + key + "_token_id");
    if (id) config[name] = *id;
  }
  return config;
}

void set_gguf_rotation(const sbora::gguf_file& file, model_config& config) {
  const gguf_fields fields(file);
  try {
    config.arch.adjacent_pairs = sbora::gguf_names::of(file).alternates();
  } catch (const sbora::checkpoint_error& error) {
    fields.fail(error.what());
  }
  const sbora::gguf_tensor* const divisors = file.find(divisors_name);
  if (!divisors) return;
  if (divisors->type != sbora::ggml_type::f32 || divisors->shape != std::vector<index_t>{config.head_dim / 2}) {
    fields.fail(std::string(divisors_name) + " isn't " + std::to_string(config.head_dim / 2) + " of F32");
  }
  config.frequency_divisors.resize(static_cast<std::size_t>(config.head_dim / 2));
  std::memcpy(config.frequency_divisors.data(), divisors->data.data(), divisors->data.size());
  for (const float divisor : config.frequency_divisors) {
    if (!(divisor > 0)) fields.fail(std::string(divisors_name) + " has a divisor that isn't above 0");
  }
}

}  // namespace llama
