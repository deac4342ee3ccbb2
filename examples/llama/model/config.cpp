#include "model/config.hpp"

#include <nlohmann/json.hpp>

#include "common/error.hpp"
#include "common/gguf_fields.hpp"
#include "common/json_fields.hpp"
#include "common/json_file.hpp"
#include "model/families.hpp"
#include "model/gguf_config.hpp"

namespace llama {
namespace {

using nlohmann::json;

std::vector<std::int32_t> ids_field(json_fields& config, const char* name) {
  const json* const value = config.find(name);
  if (!value) return {};
  const json list = value->is_array() ? *value : json::array({*value});
  std::vector<std::int32_t> ids;
  for (const json& id : list) {
    if (!id.is_number_integer()) config.fail(std::string(name) + " = " + value->dump() + ", expected token ids");
    if (id.get<std::int64_t>() >= 0) ids.push_back(id.get<std::int32_t>());  // some write -1 for none
  }
  return ids;
}

std::optional<std::int32_t> id_field(json_fields& config, const char* name) {
  const auto ids = ids_field(config, name);
  return ids.empty() ? std::nullopt : std::optional(ids.front());
}

/// rope_scaling of transformers 4, rope_parameters of 5, which holds the theta too; of both the first, as there.
void read_rope(json_fields& config, const std::string& where, model_config& result) {
  result.rope_theta = config.number("rope_theta", result.rope_theta);
  config.require("partial_rotary_factor", 1.0);
  config.require("rope_interleaved", false);
  const json* const outer_length = config.find("original_max_position_embeddings");
  const json* const scaling = config.find("rope_scaling");
  const json* const parameters = config.find("rope_parameters");
  const bool scaled = scaling && !scaling->empty();
  if (!scaled && !parameters) return;
  json_fields rope(scaled ? *scaling : *parameters, where + (scaled ? ": rope_scaling" : ": rope_parameters"));
  const std::string type = rope.text("rope_type", rope.text("type", "default").c_str());
  result.rope_theta = rope.number("rope_theta", result.rope_theta);
  rope.require("partial_rotary_factor", 1.0);
  rope.ignore({"original_max_position_embeddings"});  // of use to llama3's scaling alone
  if (type == "llama3") {
    // As transformers: a length beside the object is the one that counts, and without any the model's own.
    const double length =
        rope.number("original_max_position_embeddings", static_cast<double>(result.max_position_embeddings));
    result.scaling =
        rope_scaling{rope.number("factor"), rope.number("low_freq_factor"), rope.number("high_freq_factor"),
                     outer_length ? config.number("original_max_position_embeddings") : length};
    if (!(result.scaling->high_freq_factor > result.scaling->low_freq_factor)) {
      rope.fail("high_freq_factor must be above low_freq_factor");
    }
  } else if (type != "default") {
    rope.fail("rope_type \"" + type + "\" is not supported, only \"default\" and \"llama3\"");
  }
  rope.refuse_others();
}

/// What would make this another computation than transformers 5 has for these architectures, or does so in other
/// programs. Everything else that isn't read changes nothing there.
void refuse_other_computations(json_fields& config) {
  if (config.text("hidden_act", "silu") != "swish") config.require("hidden_act", "silu");  // two names of one function
  config.require("attention_dropout", 0.0);
  config.require("is_causal", true);
  if (const json* const layers = config.find("per_layer_config"); layers && !layers->empty()) {
    config.fail("per_layer_config is not supported, as all layers are alike here");
  }
}

/// Its other settings are with each tensor. Errors: input_error for a method other than bitsandbytes.
void check_quantization(json_fields& config, const std::string& where) {
  const json* const value = config.find("quantization_config");
  if (!value) return;
  json_fields quantization(*value, where + ": quantization_config");
  const std::string method = quantization.text("quant_method", "bitsandbytes");
  if (method != "bitsandbytes") {
    quantization.fail("quant_method \"" + method + "\" is not supported, only \"bitsandbytes\"");
  }
}

}  // namespace

namespace {

model_config config_of(const json& object, const std::string& where) {
  json_fields config(object, where);

  const family& family = family_of(config);
  refuse_other_computations(config);
  model_config result;
  result.rope_theta = family.rope_theta;
  result.vocab_size = config.count("vocab_size");
  result.hidden_size = config.count("hidden_size");
  result.intermediate_size = config.count("intermediate_size");
  result.num_hidden_layers = config.count("num_hidden_layers");
  result.num_attention_heads = config.count("num_attention_heads");
  result.num_key_value_heads = config.count(
      "num_key_value_heads", family.num_key_value_heads > 0 ? family.num_key_value_heads : result.num_attention_heads);
  if (!config.find("head_dim") && family.head_dim == 0 && result.hidden_size % result.num_attention_heads != 0) {
    config.fail("hidden_size = " + std::to_string(result.hidden_size) +
                " is not a multiple of num_attention_heads = " + std::to_string(result.num_attention_heads));
  }
  const index_t equal_parts = std::max<index_t>(1, result.hidden_size / result.num_attention_heads);
  result.head_dim = config.count("head_dim", family.head_dim > 0 ? family.head_dim : equal_parts);
  result.max_position_embeddings = config.count("max_position_embeddings", family.max_position_embeddings);
  result.rms_norm_eps = config.number("rms_norm_eps", family.rms_norm_eps);
  result.tie_word_embeddings = config.flag("tie_word_embeddings", family.tie_word_embeddings);
  result.bos_token_id = id_field(config, "bos_token_id");
  result.pad_token_id = id_field(config, "pad_token_id");
  result.eos_token_ids = ids_field(config, "eos_token_id");
  read_rope(config, where, result);
  result.arch = read_architecture(config, family, result.num_hidden_layers);
  check_quantization(config, where);

  // What transformers writes for every model; other fields are worth a word.
  config.ignore({"_name_or_path",
                 "transformers_version",
                 "torch_dtype",
                 "dtype",
                 "use_cache",
                 "initializer_range",
                 "pretraining_tp",
                 "tokenizer_class",
                 "is_encoder_decoder",
                 "is_decoder",
                 "add_cross_attention",
                 "output_attentions",
                 "output_hidden_states",
                 "return_dict",
                 "id2label",
                 "label2id",
                 "num_labels",
                 "problem_type",
                 "pruned_heads",
                 "chunk_size_feed_forward",
                 "_attn_implementation_autoset",
                 "max_sequence_length",
                 "unk_token_id"});
  result.unread_fields = config.others();
  try {
    check_config(result);
  } catch (const input_error& error) {
    config.fail(error.what());
  }
  return result;
}

}  // namespace

model_config read_config(const std::filesystem::path& file) { return config_of(read_json(file), file.string()); }

model_config read_base_config(const std::filesystem::path& base_model) {
  if (!is_gguf(base_model)) return read_config(base_model / "config.json");
  const auto file = open_gguf(base_model);
  model_config config = config_of(gguf_config(file), base_model.string());
  set_gguf_rotation(file, config);
  return config;
}

void check_config(const model_config& config) {
  const auto require = [](bool holds, const std::string& message) {
    if (!holds) throw input_error(message);
  };
  const auto text = [](index_t n) { return std::to_string(n); };
  for (const index_t size :
       {config.vocab_size, config.hidden_size, config.intermediate_size, config.num_hidden_layers,
        config.num_attention_heads, config.num_key_value_heads, config.head_dim, config.max_position_embeddings}) {
    require(size >= 1, "a model's sizes must be at least 1");
  }
  require(config.num_attention_heads % config.num_key_value_heads == 0,
          "num_attention_heads = " + text(config.num_attention_heads) +
              " is not a multiple of num_key_value_heads = " + text(config.num_key_value_heads));
  require(config.head_dim % 2 == 0, "head_dim = " + text(config.head_dim) + " is odd");
}

std::string config_text(const model_config& config, const std::string& dtype) {
  json text = {{"architectures", {config.arch.class_name}},
               {"model_type", config.arch.model_type},
               {"hidden_act", "silu"},
               {"attention_bias", false},
               {"mlp_bias", false},
               {"torch_dtype", dtype},
               {"vocab_size", config.vocab_size},
               {"hidden_size", config.hidden_size},
               {"intermediate_size", config.intermediate_size},
               {"num_hidden_layers", config.num_hidden_layers},
               {"num_attention_heads", config.num_attention_heads},
               {"num_key_value_heads", config.num_key_value_heads},
               {"head_dim", config.head_dim},
               {"max_position_embeddings", config.max_position_embeddings},
               {"rms_norm_eps", config.rms_norm_eps},
               {"rope_theta", config.rope_theta},
               {"tie_word_embeddings", config.tie_word_embeddings}};
  text.update(json::parse(config.arch.fields));
  if (config.scaling) {
    text["rope_scaling"] = {
        {"rope_type", "llama3"},
        {"factor", config.scaling->factor},
        {"low_freq_factor", config.scaling->low_freq_factor},
        {"high_freq_factor", config.scaling->high_freq_factor},
        {"original_max_position_embeddings", index_t(config.scaling->original_max_position_embeddings)}};
  }
  if (config.bos_token_id) text["bos_token_id"] = *config.bos_token_id;
  if (config.pad_token_id) text["pad_token_id"] = *config.pad_token_id;
  if (config.eos_token_ids.size() == 1) text["eos_token_id"] = config.eos_token_ids.front();
  if (config.eos_token_ids.size() > 1) text["eos_token_id"] = config.eos_token_ids;
  return text.dump(2) + "\n";
}

}  // namespace llama
