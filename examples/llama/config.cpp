#include "config.hpp"

#include <nlohmann/json.hpp>

#include "input_error.hpp"
#include "json_fields.hpp"
#include "json_file.hpp"

namespace llama {
namespace {

using nlohmann::json;
using fields = json_fields;

std::vector<std::int32_t> token_ids(fields& config, const char* name) {
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

std::optional<std::int32_t> token_id(fields& config, const char* name) {
  const auto ids = token_ids(config, name);
  return ids.empty() ? std::nullopt : std::optional(ids.front());
}

/// rope_scaling of transformers 4, rope_parameters of 5, which holds the theta too.
void read_rope(fields& config, const std::string& where, model_config& result) {
  result.rope_theta = config.number("rope_theta", 10000);
  config.require("partial_rotary_factor", 1.0);
  for (const char* const name : {"rope_scaling", "rope_parameters"}) {
    const json* const value = config.find(name);
    if (!value) continue;
    fields rope(*value, where + ": " + name);
    const std::string type = rope.text("rope_type", rope.text("type", "default").c_str());
    result.rope_theta = rope.number("rope_theta", result.rope_theta);
    rope.require("partial_rotary_factor", 1.0);
    if (type == "llama3") {
      result.scaling = rope_scaling{rope.number("factor"), rope.number("low_freq_factor"),
                                    rope.number("high_freq_factor"),
                                    rope.number("original_max_position_embeddings")};
      if (!(result.scaling->high_freq_factor > result.scaling->low_freq_factor)) {
        rope.fail("high_freq_factor must be above low_freq_factor");
      }
    } else if (type != "default") {
      rope.fail("rope_type \"" + type + "\" is not supported, only \"default\" and \"llama3\"");
    }
    rope.refuse_others();
  }
}

/// Its other settings are with each tensor. Errors: input_error for a method other than bitsandbytes.
void check_quantization(fields& config, const std::string& where) {
  const json* const value = config.find("quantization_config");
  if (!value) return;
  fields quantization(*value, where + ": quantization_config");
  const std::string method = quantization.text("quant_method", "bitsandbytes");
  if (method != "bitsandbytes") {
    quantization.fail("quant_method \"" + method + "\" is not supported, only \"bitsandbytes\"");
  }
}

}  // namespace

model_config read_config(const std::filesystem::path& file) {
  const json object = read_json(file);
  const std::string where = file.string();
  fields config(object, where);

  config.require("model_type", "llama");
  config.require("architectures", json::array({"LlamaForCausalLM"}));
  if (!config.find("model_type") && !config.find("architectures")) {
    config.fail("neither model_type nor architectures says that this is a LlamaForCausalLM");
  }
  config.require("hidden_act", "silu");
  config.require("attention_bias", false);
  config.require("mlp_bias", false);
  config.require("attention_dropout", 0.0);
  config.require("pretraining_tp", 1);
  config.require("is_decoder", false);
  config.require("is_encoder_decoder", false);
  config.require("add_cross_attention", false);

  model_config result;
  result.vocab_size = config.count("vocab_size");
  result.hidden_size = config.count("hidden_size");
  result.intermediate_size = config.count("intermediate_size");
  result.num_hidden_layers = config.count("num_hidden_layers");
  result.num_attention_heads = config.count("num_attention_heads");
  result.num_key_value_heads = config.count("num_key_value_heads", result.num_attention_heads);
  if (!config.find("head_dim") && result.hidden_size % result.num_attention_heads != 0) {
    config.fail("hidden_size = " + std::to_string(result.hidden_size) +
                " is not a multiple of num_attention_heads = " + std::to_string(result.num_attention_heads));
  }
  result.head_dim = config.count("head_dim", std::max<index_t>(1, result.hidden_size / result.num_attention_heads));
  result.max_position_embeddings = config.count("max_position_embeddings", 2048);
  result.rms_norm_eps = config.number("rms_norm_eps", 1e-6);
  result.tie_word_embeddings = config.flag("tie_word_embeddings", false);
  result.bos_token_id = token_id(config, "bos_token_id");
  result.pad_token_id = token_id(config, "pad_token_id");
  result.eos_token_ids = token_ids(config, "eos_token_id");
  read_rope(config, where, result);
  check_quantization(config, where);

  // Of no effect on what is computed here.
  config.ignore({"_name_or_path", "transformers_version", "torch_dtype", "dtype", "use_cache",
                 "initializer_range", "max_sequence_length", "rope_interleaved", "is_llama_config",
                 "unsloth_version", "unsloth_fixed", "auto_map", "task_specific_params", "transformers.js_config",
                 "output_attentions", "output_hidden_states", "return_dict", "tf_legacy_loss", "torchscript",
                 "use_bfloat16", "chunk_size_feed_forward", "finetuning_task", "id2label", "label2id",
                 "num_labels", "problem_type", "pruned_heads", "tokenizer_class", "prefix",
                 "cross_attention_hidden_size", "tie_encoder_decoder", "return_dict_in_generate",
                 // Generation's options, which older versions write here.
                 "max_length", "min_length", "do_sample", "early_stopping", "num_beams", "num_beam_groups",
                 "diversity_penalty", "temperature", "top_k", "top_p", "typical_p", "repetition_penalty",
                 "length_penalty", "no_repeat_ngram_size", "encoder_no_repeat_ngram_size", "bad_words_ids",
                 "num_return_sequences", "output_scores", "forced_bos_token_id", "forced_eos_token_id",
                 "remove_invalid_values", "exponential_decay_length_penalty", "suppress_tokens",
                 "begin_suppress_tokens", "sep_token_id", "decoder_start_token_id"});
  config.require("rope_interleaved", false);
  config.refuse_others();
  try {
    check_config(result);
  } catch (const input_error& error) {
    config.fail(error.what());
  }
  return result;
}

void check_config(const model_config& config) {
  const auto require = [](bool holds, const std::string& message) {
    if (!holds) throw input_error(message);
  };
  const auto text = [](index_t n) { return std::to_string(n); };
  for (const index_t size : {config.vocab_size, config.hidden_size, config.intermediate_size,
                             config.num_hidden_layers, config.num_attention_heads, config.num_key_value_heads,
                             config.head_dim, config.max_position_embeddings}) {
    require(size >= 1, "a model's sizes must be at least 1");
  }
  require(config.num_attention_heads % config.num_key_value_heads == 0,
          "num_attention_heads = " + text(config.num_attention_heads) +
              " is not a multiple of num_key_value_heads = " + text(config.num_key_value_heads));
  require(config.head_dim % 2 == 0, "head_dim = " + text(config.head_dim) + " is odd");
}

std::string config_text(const model_config& config, const std::string& dtype) {
  json text = {{"architectures", {"LlamaForCausalLM"}},
               {"model_type", "llama"},
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
