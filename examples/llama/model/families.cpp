#include "model/families.hpp"

#include <nlohmann/json.hpp>

namespace llama {
namespace {

using nlohmann::json;

// ---- positions: windows and layers without rotation --------------------------------------------------

/// LLaMA and Granite have neither.
void refuse_windows(json_fields& config) {
  if (const json* const types = config.find("layer_types")) {
    for (const json& type : *types) {
      if (type == "full_attention") continue;
      config.fail("layer_types has " + type.dump() + ", only \"full_attention\" is supported");
    }
  }
  const json* const window = config.find("sliding_window");
  if (window && config.flag("use_sliding_window", true)) {
    config.fail("sliding_window = " + window->dump() +
                " is not supported; null says that attention goes back to the beginning");
  }
}

/// The number that the file says, null being none; `otherwise` where it doesn't say.
std::optional<index_t> window_of(json_fields& config, std::optional<index_t> otherwise) {
  if (const json* const window = config.find("sliding_window")) return config.count("sliding_window");
  return config.is_null("sliding_window") ? std::nullopt : otherwise;
}

/// One window for all layers.
void read_window(json_fields& config, architecture& of, std::optional<index_t> otherwise) {
  if (config.find("layer_types")) config.fail("layer_types is not supported beside a sliding_window of all layers");
  for (layer_rule& layer : of.layers) layer.window = window_of(config, otherwise).value_or(all_keys);
}

/// A window for the layers that layer_types names, or, where the file has none, that slides(i) says.
template <class Function>
void read_windows(json_fields& config, architecture& of, std::optional<index_t> window, Function slides) {
  const json* const types = config.find("layer_types");
  if (types && (!types->is_array() || types->size() != of.layers.size())) {
    config.fail("layer_types must be a list of num_hidden_layers = " + std::to_string(of.layers.size()));
  }
  for (std::size_t i = 0; i < of.layers.size(); ++i) {
    bool has_window = window && slides(static_cast<index_t>(i));
    if (types) {
      has_window = (*types)[i] == "sliding_attention";
      if (!has_window && (*types)[i] != "full_attention") {
        config.fail("layer_types has " + (*types)[i].dump() +
                    ", only \"full_attention\" and \"sliding_attention\" are supported");
      }
      if (has_window && !window) {
        config.fail(
            "layer_types has \"sliding_attention\", but sliding_window and use_sliding_window say of no window");
      }
    }
    if (has_window) of.layers[i].window = *window;
  }
}

/// As the file says, or without rotation each layer whose number, from 1, is a multiple of the interval.
void read_rotation(json_fields& config, architecture& of) {
  const index_t interval = config.count("no_rope_layer_interval", 4);
  const json* const rotary = config.find("no_rope_layers");
  if (rotary && (!rotary->is_array() || rotary->size() < of.layers.size())) {
    config.fail("no_rope_layers must be a list of num_hidden_layers = " + std::to_string(of.layers.size()));
  }
  for (std::size_t i = 0; i < of.layers.size(); ++i) {
    of.layers[i].rotary = (static_cast<index_t>(i) + 1) % interval != 0;
    if (!rotary) continue;
    if ((*rotary)[i] != 0 && (*rotary)[i] != 1) config.fail("no_rope_layers has " + (*rotary)[i].dump());
    of.layers[i].rotary = (*rotary)[i] == 1;  // in spite of the field's name
  }
}

// ---- the families ----------------------------------------------------------------------------------

void read_biases(json_fields& config, architecture& of) {
  of.qkv_bias = of.output_bias = config.flag("attention_bias", false);
  of.mlp_bias = config.flag("mlp_bias", false);
}

void read_llama(json_fields& config, architecture& of) {
  refuse_windows(config);
  read_biases(config, of);
}

void read_granite(json_fields& config, architecture& of) {
  read_llama(config, of);
  of.embedding_multiplier = config.number("embedding_multiplier", 1);
  of.residual_multiplier = config.number("residual_multiplier", 1);
  of.attention_multiplier = config.number("attention_multiplier", 1);
  of.logits_divisor = config.number("logits_scaling", 1);
}

void read_mistral(json_fields& config, architecture& of) { read_window(config, of, 4096); }

void read_phi3(json_fields& config, architecture& of) {
  for (const char* const dropout : {"resid_pdrop", "embd_pdrop"}) config.require(dropout, 0.0);
  read_window(config, of, std::nullopt);
  of.fused = true;
}

void read_qwen_windows(json_fields& config, architecture& of) {
  const bool use = config.flag("use_sliding_window", false);
  const json* const full = config.find("max_window_layers");
  if (full && !full->is_number_unsigned()) config.fail("max_window_layers = " + full->dump() + ", expected a number");
  const index_t first = full ? full->get<index_t>() : 28;
  const std::optional<index_t> window = window_of(config, 4096);
  read_windows(config, of, use ? window : std::nullopt, [&](index_t layer) { return layer >= first; });
}

void read_qwen2(json_fields& config, architecture& of) {
  read_qwen_windows(config, of);
  of.qkv_bias = true;
}

void read_qwen3(json_fields& config, architecture& of) {
  read_qwen_windows(config, of);
  of.qkv_bias = of.output_bias = config.flag("attention_bias", false);
  of.head_norms = true;
}

void read_smollm3(json_fields& config, architecture& of) {
  read_biases(config, of);
  read_rotation(config, of);
  const std::optional<index_t> window = window_of(config, std::nullopt);
  read_windows(config, of, config.flag("use_sliding_window", false) ? window : std::nullopt,
               [&](index_t layer) { return !of.layer(layer).rotary; });
}

constexpr family families[] = {
    {"llama", "LlamaForCausalLM", 0, 0, 2048, 1e-6, 1e4, false, read_llama},
    {"mistral", "MistralForCausalLM", 8, 0, 131072, 1e-6, 1e4, false, read_mistral},
    {"qwen2", "Qwen2ForCausalLM", 32, 0, 32768, 1e-6, 1e4, false, read_qwen2},
    {"qwen3", "Qwen3ForCausalLM", 32, 128, 32768, 1e-6, 1e4, false, read_qwen3},
    {"smollm3", "SmolLM3ForCausalLM", 4, 0, 32768, 1e-6, 2e6, true, read_smollm3},
    {"phi3", "Phi3ForCausalLM", 0, 0, 4096, 1e-5, 1e4, false, read_phi3},
    {"granite", "GraniteForCausalLM", 0, 0, 2048, 1e-6, 1e4, false, read_granite},
};

}  // namespace

const family& family_of(json_fields& config) {
  const json* const type = config.find("model_type");
  const json* const classes = config.find("architectures");
  if (!type && !classes) config.fail("neither model_type nor architectures says what model this is");
  std::string supported;
  for (const family& each : families) {
    // LLaMA's first conversions called it otherwise.
    const bool of_class = !classes || *classes == json::array({each.class_name}) ||
                          (&each == families && *classes == json::array({"LLaMAForCausalLM"}));
    if ((!type || *type == each.model_type) && of_class) return each;
    supported += (supported.empty() ? "" : ", ") + std::string(each.class_name);
  }
  std::string found;
  if (type) found = "model_type = " + type->dump();
  if (classes) found += (type ? " with architectures = " : "architectures = ") + classes->dump();
  config.fail(found + " is not supported, only " + supported);
}

architecture read_architecture(json_fields& config, const family& of, index_t num_hidden_layers) {
  architecture result;
  result.model_type = of.model_type;
  result.class_name = of.class_name;
  result.layers.resize(static_cast<std::size_t>(num_hidden_layers));
  json_fields own = config.anew();
  of.read(own, result);
  result.fields = own.found().dump();
  config.ignore(own);
  return result;
}

}  // namespace llama
