#include "support/catch.hpp"

#include <filesystem>
#include <fstream>
#include <string>

#include <nlohmann/json.hpp>

#include "model/config.hpp"
#include "common/error.hpp"

namespace {

using llama::index_t;
using nlohmann::json;

/// What transformers writes for a small model.
json valid() {
  return {{"architectures", {"LlamaForCausalLM"}},
          {"attention_bias", false},
          {"attention_dropout", 0.0},
          {"bos_token_id", 1},
          {"eos_token_id", {2, 7}},
          {"head_dim", 16},
          {"hidden_act", "silu"},
          {"hidden_size", 64},
          {"initializer_range", 0.02},
          {"intermediate_size", 112},
          {"max_position_embeddings", 128},
          {"mlp_bias", false},
          {"model_type", "llama"},
          {"num_attention_heads", 4},
          {"num_hidden_layers", 2},
          {"num_key_value_heads", 2},
          {"pad_token_id", nullptr},
          {"pretraining_tp", 1},
          {"rms_norm_eps", 1e-5},
          {"rope_scaling", nullptr},
          {"rope_theta", 500000.0},
          {"tie_word_embeddings", true},
          {"torch_dtype", "float32"},
          {"transformers_version", "4.57.0"},
          {"use_cache", true},
          {"vocab_size", 97}};
}

llama::model_config read(const std::string& text) {
  const auto file = std::filesystem::temp_directory_path() / "sbora_llama_config_test.json";
  std::ofstream(file) << text;
  try {
    auto config = llama::read_config(file);
    std::filesystem::remove(file);
    return config;
  } catch (...) {
    std::filesystem::remove(file);
    throw;
  }
}

/// The message that refuses valid() with one field changed.
std::string refusal(const char* field, const json& value) {
  json config = valid();
  config[field] = value;
  try {
    read(config.dump());
  } catch (const llama::input_error& error) {
    return error.what();
  }
  return "accepted";
}

bool mentions(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("config.json is read, defaults as transformers has them") {
  const auto config = read(valid().dump());
  CHECK(config.vocab_size == 97);
  CHECK(config.head_dim == 16);
  CHECK(config.num_key_value_heads == 2);
  CHECK(config.rms_norm_eps == 1e-5);
  CHECK(config.rope_theta == 500000.0);
  CHECK(config.tie_word_embeddings);
  CHECK(config.bos_token_id == 1);
  CHECK_FALSE(config.pad_token_id.has_value());
  CHECK(config.eos_token_ids == std::vector<std::int32_t>{2, 7});
  CHECK_FALSE(config.scaling.has_value());

  json sparse = valid();
  for (const char* name : {"head_dim", "num_key_value_heads", "rope_theta", "tie_word_embeddings", "eos_token_id"}) {
    sparse.erase(name);
  }
  const auto defaults = read(sparse.dump());
  CHECK(defaults.head_dim == 16);
  CHECK(defaults.num_key_value_heads == 4);
  CHECK(defaults.rope_theta == 10000.0);
  CHECK_FALSE(defaults.tie_word_embeddings);
  CHECK(defaults.eos_token_ids.empty());
}

TEST_CASE("LLaMA-3's rope scaling is read from both of transformers' fields") {
  json scaled = valid();
  scaled["rope_scaling"] = {{"rope_type", "llama3"},
                            {"factor", 32.0},
                            {"low_freq_factor", 1.0},
                            {"high_freq_factor", 4.0},
                            {"original_max_position_embeddings", 8192}};
  const auto config = read(scaled.dump());
  REQUIRE(config.scaling.has_value());
  CHECK(config.scaling->factor == 32.0);
  CHECK(config.scaling->original_max_position_embeddings == 8192.0);

  json parameters = valid();
  parameters.erase("rope_theta");
  parameters["rope_parameters"] = {{"rope_type", "default"}, {"rope_theta", 123.0}};
  CHECK(read(parameters.dump()).rope_theta == 123.0);
}

TEST_CASE("what is written is read back") {
  llama::model_config config;
  config.scaling = llama::rope_scaling{};
  config.eos_token_ids = {3};
  config.tie_word_embeddings = true;
  config.num_key_value_heads = 8;
  const auto again = read(llama::config_text(config));
  CHECK(again.scaling.has_value());
  CHECK(again.num_key_value_heads == 8);
  CHECK(again.eos_token_ids == config.eos_token_ids);
  CHECK(again.tie_word_embeddings);
  CHECK(again.rms_norm_eps == config.rms_norm_eps);
}

TEST_CASE("what the model doesn't compute is refused by name") {
  const auto [field, value] = GENERATE(table<const char*, json>({
      {"model_type", "mistral"},  // with LLaMA's class
      {"model_type", "gemma"},
      {"architectures", {"LlamaForSequenceClassification"}},
      {"hidden_act", "gelu"},
      {"attention_bias", "yes"},
      {"mlp_bias", 1},
      {"attention_dropout", 0.1},
      {"partial_rotary_factor", 0.5},
      {"sliding_window", 4096},
      {"is_causal", false},
      {"layer_types", {"full_attention", "sliding_attention"}},
      {"per_layer_config", {{"0", {{"rms_norm_eps", 0.5}}}}},
      {"rope_interleaved", true},
      {"rope_scaling", {{"type", "linear"}, {"factor", 2.0}}},
      {"rope_scaling", {{"rope_type", "yarn"}, {"factor", 2.0}}},
      {"rope_scaling", {{"rope_type", "llama3"}, {"factor", 2.0}}},
      {"rope_parameters", {{"rope_type", "default"}, {"attention_factor", 2.0}}},
      {"quantization_config", {{"quant_method", "gptq"}, {"bits", 4}}},
      {"vocab_size", 0},
      {"vocab_size", "many"},
      {"hidden_size", nullptr},
      {"num_key_value_heads", 3},
      {"head_dim", 15},
      {"rms_norm_eps", -1.0},
      {"tie_word_embeddings", "yes"},
      {"eos_token_id", "</s>"},
  }));
  const std::string message = refusal(field, value);
  INFO(message);
  CHECK(mentions(message, field));
  CHECK(mentions(message, "sbora_llama_config_test.json"));
}

TEST_CASE("a config.json that is none is refused") {
  CHECK_THROWS_AS(read("{"), llama::input_error);
  CHECK_THROWS_AS(read("[1]"), llama::input_error);
  CHECK_THROWS_AS(llama::read_config("/nonexistent/config.json"), llama::input_error);
  json anonymous = valid();
  anonymous.erase("model_type");
  anonymous.erase("architectures");
  CHECK_THROWS_AS(read(anonymous.dump()), llama::input_error);
}

TEST_CASE("fields that change nothing are read over, and listed where transformers doesn't write them everywhere") {
  json config = valid();
  const json harmless = {{"_attn_implementation_autoset", true},
                         {"unk_token_id", 0},
                         {"gradient_checkpointing", false},
                         {"pretraining_tp", 2},
                         {"is_decoder", true},
                         {"future_field", {1, 2}},
                         {"nothing", nullptr},
                         {"sliding_window", 4096},
                         {"use_sliding_window", false},
                         {"per_layer_config", nullptr},
                         {"layer_types", {"full_attention", "full_attention"}},
                         {"hidden_act", "swish"},
                         {"architectures", {"LLaMAForCausalLM"}},
                         {"logits_scaling", 3.0}};
  config.update(harmless);
  const auto read_back = read(config.dump());
  CHECK(read_back.unread_fields ==
        std::vector<std::string>{"future_field", "gradient_checkpointing", "logits_scaling"});
  CHECK(read(valid().dump()).unread_fields.empty());
}

TEST_CASE("rope: of two objects and two lengths the ones that transformers takes") {
  const json llama3 = {{"rope_type", "llama3"}, {"factor", 32.0}, {"low_freq_factor", 1.0}, {"high_freq_factor", 4.0}};
  json config = valid();
  config["rope_scaling"] = llama3;
  CHECK(read(config.dump()).scaling->original_max_position_embeddings == 128);  // max_position_embeddings
  config["rope_scaling"]["original_max_position_embeddings"] = 64;
  CHECK(read(config.dump()).scaling->original_max_position_embeddings == 64);
  config["original_max_position_embeddings"] = 32;
  CHECK(read(config.dump()).scaling->original_max_position_embeddings == 32);
  config["rope_parameters"] = {{"rope_type", "default"}, {"rope_theta", 7.0}};
  CHECK(read(config.dump()).scaling.has_value());
  CHECK(read(config.dump()).rope_theta == 500000.0);
  config["rope_scaling"] = json::object();
  CHECK_FALSE(read(config.dump()).scaling.has_value());
  CHECK(read(config.dump()).rope_theta == 7.0);
}

namespace {

/// valid() of another family, with some fields changed.
json valid_of(const char* type, const char* name, const json& changes) {
  json config = valid();
  config["model_type"] = type;
  config["architectures"] = {name};
  config.update(changes);
  return config;
}

llama::architecture arch_of(const json& config) { return read(config.dump()).arch; }

std::vector<index_t> windows_of(const llama::architecture& arch) {
  std::vector<index_t> windows;
  for (const llama::layer_rule& layer : arch.layers) windows.push_back(layer.window);
  return windows;
}

}  // namespace

TEST_CASE("what each family computes") {
  using windows = std::vector<index_t>;
  const index_t all = llama::all_keys;
  const auto llama = arch_of(valid_of("llama", "LlamaForCausalLM", {{"attention_bias", true}, {"mlp_bias", true}}));
  CHECK((llama.qkv_bias && llama.output_bias && llama.mlp_bias));
  CHECK_FALSE((llama.head_norms || llama.fused));

  const auto mistral = [](const json& changes) { return valid_of("mistral", "MistralForCausalLM", changes); };
  CHECK(windows_of(arch_of(mistral({{"sliding_window", 5}}))) == windows{5, 5});
  CHECK(windows_of(arch_of(mistral({{"sliding_window", nullptr}}))) == windows{all, all});
  CHECK(windows_of(arch_of(mistral(json::object()))) == windows{4096, 4096});

  const auto qwen = [](const json& changes) { return valid_of("qwen2", "Qwen2ForCausalLM", changes); };
  const auto qwen2 = arch_of(qwen({{"sliding_window", 5}, {"max_window_layers", 0}}));
  CHECK((qwen2.qkv_bias && !qwen2.output_bias && !qwen2.mlp_bias));
  CHECK(windows_of(qwen2) == windows{all, all});
  const json used = {{"use_sliding_window", true}, {"sliding_window", 5}, {"max_window_layers", 1}};
  CHECK(windows_of(arch_of(qwen(used))) == windows{all, 5});
  json typed = qwen(used);
  typed["layer_types"] = {"sliding_attention", "full_attention"};
  CHECK(windows_of(arch_of(typed)) == windows{5, all});

  json qwen3 = valid_of("qwen3", "Qwen3ForCausalLM", json::object());
  CHECK((arch_of(qwen3).head_norms && !arch_of(qwen3).qkv_bias));
  qwen3.erase("head_dim");
  CHECK(read(qwen3.dump()).head_dim == 128);  // whatever hidden_size is

  json smollm3 = valid_of("smollm3", "SmolLM3ForCausalLM", {{"no_rope_layer_interval", 2}});
  CHECK((arch_of(smollm3).layer(0).rotary && !arch_of(smollm3).layer(1).rotary));
  smollm3["no_rope_layers"] = {0, 1, 1};  // one more than there are
  CHECK((!arch_of(smollm3).layer(0).rotary && arch_of(smollm3).layer(1).rotary));
  smollm3.erase("tie_word_embeddings");
  CHECK(read(smollm3.dump()).tie_word_embeddings);

  CHECK(arch_of(valid_of("phi3", "Phi3ForCausalLM", json::object())).fused);

  const auto granite =
      arch_of(valid_of("granite", "GraniteForCausalLM", {{"logits_scaling", 8}, {"residual_multiplier", 0.2}}));
  CHECK(granite.logits_divisor == 8);
  CHECK(granite.residual_multiplier == 0.2);
  CHECK(granite.attention_multiplier == 1.0);  // not 1/sqrt(head_dim), where the file doesn't say
  CHECK(granite.embedding_multiplier == 1);
}

TEST_CASE("what a family doesn't compute is refused by name") {
  const auto [type, name, field, value] = GENERATE(table<const char*, const char*, const char*, json>({
      {"mistral", "MistralForCausalLM", "layer_types", {"full_attention", "sliding_attention"}},
      {"mistral", "MistralForCausalLM", "sliding_window", 0},
      {"qwen2", "Qwen2ForCausalLM", "layer_types", {"full_attention", "sliding_attention"}},  // with no window
      {"qwen2", "Qwen2ForCausalLM", "layer_types", {"full_attention"}},
      {"qwen3", "Qwen3ForCausalLM", "layer_types", {"full_attention", "linear_attention"}},
      {"qwen3", "Qwen3ForCausalLM", "max_window_layers", -1},
      {"smollm3", "SmolLM3ForCausalLM", "no_rope_layers", {1}},
      {"smollm3", "SmolLM3ForCausalLM", "no_rope_layers", {1, 2}},
      {"phi3", "Phi3ForCausalLM", "resid_pdrop", 0.1},
      {"phi3", "Phi3ForCausalLM", "partial_rotary_factor", 0.5},
      {"granite", "GraniteForCausalLM", "logits_scaling", 0},
      {"granite", "GraniteForCausalLM", "sliding_window", 4096},
  }));
  std::string message = "accepted";
  try {
    read(valid_of(type, name, {{field, value}}).dump());
  } catch (const llama::input_error& error) {
    message = error.what();
  }
  INFO(message);
  CHECK(mentions(message, field));
}

TEST_CASE("a family is written as it was read, null for no window too") {
  const auto [type, name, changes] = GENERATE(table<const char*, const char*, json>({
      {"mistral", "MistralForCausalLM", {{"sliding_window", nullptr}}},
      {"qwen2", "Qwen2ForCausalLM", {{"use_sliding_window", true}, {"sliding_window", 3}, {"max_window_layers", 1}}},
      {"smollm3", "SmolLM3ForCausalLM", {{"no_rope_layers", {0, 1}}}},
      {"granite", "GraniteForCausalLM", {{"embedding_multiplier", 12}, {"attention_bias", true}}},
  }));
  const llama::model_config config = read(valid_of(type, name, changes).dump());
  const llama::model_config again = read(llama::config_text(config));
  CHECK(again.arch.model_type == type);
  CHECK(windows_of(again.arch) == windows_of(config.arch));
  CHECK(again.arch.layer(0).rotary == config.arch.layer(0).rotary);
  CHECK(again.arch.embedding_multiplier == config.arch.embedding_multiplier);
  CHECK(again.arch.output_bias == config.arch.output_bias);
  CHECK(again.arch.fields == config.arch.fields);
}
