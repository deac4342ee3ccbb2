// adapter_config.json as PEFT, the official SBoRA code and sbora write it: what is read, refused, left out.

#include <sbora/io/adapter/adapter_files.hpp>

#include "support/message.hpp"

using sbora::adapter_config;
using sbora::adapter_config_text;
using sbora::adapter_kind;
using sbora::checkpoint_error;
using sbora::format_error;
using sbora::index_t;
using sbora::parse_adapter_config;
using sbora::strictness;

namespace {

/// As the official code writes it for LLaMA-7B.
const char* const official = R"({
  "adapter_name": "sbora_fb",
  "base_model_name_or_path": "yahma/llama-7b-hf",
  "bias": "none",
  "enable_lora": null,
  "fan_in_fan_out": false,
  "inference_mode": true,
  "lora_alpha": 64,
  "lora_dropout": 0.05,
  "merge_weights": false,
  "modules_to_save": null,
  "peft_type": "SBORA",
  "r": 32,
  "target_modules": ["q_proj", "k_proj", "v_proj", "up_proj", "down_proj"],
  "task_type": "CAUSAL_LM"
})";

/// As PEFT 0.17 writes a LoraConfig.
const char* const peft = R"({
  "alpha_pattern": {"layers.3.q_proj": 2.5, "q_proj": 4},
  "auto_mapping": null,
  "base_model_name_or_path": "meta-llama/Meta-Llama-3-8B",
  "bias": "none",
  "corda_config": null,
  "eva_config": null,
  "exclude_modules": "lm_head",
  "fan_in_fan_out": true,
  "inference_mode": true,
  "init_lora_weights": true,
  "layer_replication": null,
  "layers_pattern": "layers",
  "layers_to_transform": [0, 3],
  "loftq_config": {},
  "lora_alpha": 11.313708498984761,
  "lora_bias": false,
  "lora_dropout": 0.0,
  "megatron_config": null,
  "megatron_core": "megatron.core",
  "modules_to_save": null,
  "peft_type": "LORA",
  "qalora_group_size": 16,
  "r": 8,
  "rank_pattern": {"z": 3, "a": 4},
  "revision": "main",
  "target_modules": ["v_proj", "q_proj"],
  "target_parameters": null,
  "task_type": "CAUSAL_LM",
  "trainable_token_indices": null,
  "use_dora": false,
  "use_qalora": false,
  "use_rslora": true
})";

std::vector<std::string> problems_of(const std::string& text, strictness mode = strictness::strict) {
  try {
    parse_adapter_config(text, mode);
  } catch (const checkpoint_error& error) {
    return error.problems();
  }
  return {};
}

/// `field` as the only unusual thing of a config.
std::vector<std::string> problems_of_field(const std::string& field, strictness mode = strictness::strict) {
  return problems_of(R"({"peft_type": "LORA", )" + field + "}", mode);
}

using lines = std::vector<std::string>;

}  // namespace

TEST_CASE("the official code's config is read") {
  const auto [config, skipped] = parse_adapter_config(official);
  CHECK(config.peft_type == "SBORA");
  CHECK(config.kind == adapter_kind::fb);
  CHECK(config.r == 32);
  CHECK(config.lora_alpha == 64);
  CHECK(config.lora_dropout == 0.05);
  CHECK(config.base_model_name_or_path == "yahma/llama-7b-hf");
  CHECK(config.task_type == "CAUSAL_LM");
  CHECK(config.target_modules.names == lines{"q_proj", "k_proj", "v_proj", "up_proj", "down_proj"});
  CHECK_FALSE(config.target_modules.regex);
  CHECK_FALSE(config.use_rslora);
  CHECK(skipped.empty());
}

TEST_CASE("PEFT's config is read, with patterns in their order") {
  const auto [config, skipped] = parse_adapter_config(peft);
  CHECK(config.peft_type == "LORA");
  CHECK_FALSE(config.kind);
  CHECK(config.use_rslora);
  CHECK(config.fan_in_fan_out);
  CHECK(config.lora_alpha == 11.313708498984761);
  CHECK(config.exclude_modules.regex == "lm_head");
  CHECK(config.layers_to_transform == std::vector<index_t>{0, 3});
  CHECK(config.layers_pattern == lines{"layers"});
  CHECK(config.rank_pattern == std::vector<sbora::module_pattern<index_t>>{{"z", 3}, {"a", 4}});
  CHECK(config.alpha_pattern == std::vector<sbora::module_pattern<double>>{{"layers.3.q_proj", 2.5}, {"q_proj", 4}});
  CHECK(config.revision == "main");
  CHECK(skipped.empty());
}

TEST_CASE("what is missing or null has PEFT's defaults") {
  const char* const text =
      R"({"peft_type": "LORA", "r": null, "lora_alpha": null, "layers_pattern": "", "layers_to_transform": []})";
  const adapter_config config = parse_adapter_config(text).config;
  adapter_config defaults;
  defaults.peft_type = "LORA";
  CHECK(config == defaults);
  CHECK(config.r == 8);
  CHECK(config.lora_alpha == 8);
}

TEST_CASE("a layers_pattern for all layers is written as it is read") {  // found by the fuzzer
  const std::string fields = R"({"peft_type": "LORA", "layers_pattern": "h", "layers_to_transform": []})";
  const adapter_config config = parse_adapter_config(fields).config;
  CHECK(config.layers_pattern == lines{"h"});
  CHECK(parse_adapter_config(adapter_config_text(config)).config == config);
}

TEST_CASE("a written config is read back the same, to the last bit") {
  for (const char* text : {official, peft}) {
    const adapter_config config = parse_adapter_config(text).config;
    CHECK(parse_adapter_config(adapter_config_text(config)).config == config);
  }
  adapter_config config = parse_adapter_config(official).config;
  config.use_rslora = true;
  config.lora_alpha = 0.1 + 0.2;
  config.target_modules = {{}, R"(.*\.(q|v)_proj)"};
  config.exclude_modules = {{"lm_head", "a \"quoted\" näme"}, {}};
  config.bias = sbora::bias_training::adapted;
  config.modules_to_save = {"norm", "lm_head"};
  config.rank_pattern = {{"z", 3}, {"a", 4}};
  config.alpha_pattern = {{"z", 1e-300}, {"a", 123456789012345678.0}};
  config.sbora = sbora::sbora_record{
      "0.1.0", 18446744073709551615U, 0x123456789abcdef0U, {{"m.b", 4, 5, {}}, {"m.a", 6, 7, 0x00ff00000000000aU}}};
  const std::string text = adapter_config_text(config);
  CHECK(parse_adapter_config(text).config == config);
  CHECK(adapter_config_text(parse_adapter_config(text).config) == text);
  CHECK_THAT(text, sbora_tests::contains(R"("base_fingerprint": "00ff00000000000a")"));
}

TEST_CASE("keys are written ascending and integers as integers") {
  adapter_config config;
  config.kind = adapter_kind::fa;
  config.target_modules.names = {"q_proj"};
  CHECK(adapter_config_text(config) == R"({
  "adapter_name": "sbora_fa",
  "base_model_name_or_path": null,
  "bias": "none",
  "enable_lora": null,
  "fan_in_fan_out": false,
  "inference_mode": true,
  "lora_alpha": 8,
  "lora_dropout": 0.0,
  "merge_weights": false,
  "modules_to_save": null,
  "peft_type": "SBORA",
  "r": 8,
  "target_modules": [
    "q_proj"
  ],
  "task_type": null
}
)");
  config.base_model_name_or_path = "no \xFF UTF-8";
  CHECK_ERROR(sbora::config_error, "adapter_config.json", adapter_config_text(config));
}

TEST_CASE("everything that would be ignored is refused at once, and left out when lenient") {
  const std::string text = R"({"peft_type": "LORA", "r": 4, "bias": "sometimes", "use_dora": true, "lora_bias": true,
    "layer_replication": [[0, 4]], "alora_invocation_tokens": [5], "use_qalora": true, "use_bdlora": {"a": 1},
    "velora_config": {"a": 1}, "monteclora_config": {"a": 1}, "arrow_config": {"a": 1}, "kasa_config": {"a": 1},
    "enable_lora": [true, false], "init_lora_weights": "pissa_niter_16"})";
  CHECK(problems_of(text) ==
        lines{R"(bias: expected none, all or lora_only, got "sometimes")",
              "alora_invocation_tokens isn't supported, got [5]", R"(arrow_config isn't supported, got {"a":1})",
              "enable_lora isn't supported, got [true,false]", R"(kasa_config isn't supported, got {"a":1})",
              "layer_replication isn't supported, got [[0,4]]", "lora_bias isn't supported, got true",
              R"(monteclora_config isn't supported, got {"a":1})", R"(use_bdlora isn't supported, got {"a":1})",
              "use_dora isn't supported, got true", "use_qalora isn't supported, got true",
              R"(velora_config isn't supported, got {"a":1})",
              "init_lora_weights: 'pissa_niter_16' changes the base weights"});
  const auto [config, skipped] = parse_adapter_config(text, strictness::lenient);
  CHECK(config.r == 4);
  CHECK(skipped == problems_of(text));
}

TEST_CASE("an initialisation that leaves the base alone is fine") {
  for (const char* init : {"true", "false", R"("gaussian")", R"("eva")", R"("orthogonal")", R"("mica")"}) {
    CHECK(problems_of_field(std::string(R"("init_lora_weights": )") + init).empty());
  }
}

TEST_CASE("unknown keys are left out and listed, as PEFT ignores them") {
  const auto [config, skipped] = parse_adapter_config(R"({"peft_type": "LORA", "r": 3, "from_2030": {"x": [1]}})");
  CHECK(config.r == 3);
  CHECK(skipped == lines{"the key 'from_2030' is unknown"});
}

TEST_CASE("a missing peft_type is refused, or left out when lenient; another type never passes") {
  CHECK(problems_of(R"({"r": 3})") == lines{"peft_type is missing, expected LORA or SBORA"});
  CHECK(parse_adapter_config(R"({"r": 3})", strictness::lenient).skipped.size() == 1);
  for (const strictness mode : {strictness::strict, strictness::lenient}) {
    CHECK(problems_of(R"({"peft_type": "IA3"})", mode) ==
          lines{R"(peft_type: expected LORA, SBORA, PACA or TRAINABLE_TOKENS, got "IA3")"});
    CHECK(problems_of(R"({"peft_type": 3})", mode) ==
          lines{"peft_type: expected LORA, SBORA, PACA or TRAINABLE_TOKENS, got 3"});
  }
}

TEST_CASE("values of the wrong type or range are refused in either mode") {
  const auto refused = [](const char* field, const char* problem) {
    CAPTURE(field);
    CHECK(problems_of_field(field) == lines{problem});
    CHECK(problems_of_field(field, strictness::lenient) == lines{problem});
  };
  refused(R"("r": 0)", "r: expected an integer of 1 or more, got 0");
  refused(R"("r": -4)", "r: expected an integer of 1 or more, got -4");
  refused(R"("r": 8.0)", "r: expected an integer of 1 or more, got 8.0");
  refused(R"("r": 9223372036854775808)", "r: expected an integer of 1 or more, got 9223372036854775808");
  refused(R"("r": "8")", R"(r: expected an integer of 1 or more, got "8")");
  refused(R"("lora_alpha": 0)", "lora_alpha: expected a positive number, got 0");
  refused(R"("lora_alpha": -1)", "lora_alpha: expected a positive number, got -1");
  refused(R"("lora_alpha": true)", "lora_alpha: expected a positive number, got true");
  refused(R"("lora_dropout": 1)", "lora_dropout: expected a number in [0, 1), got 1");
  refused(R"("lora_dropout": -0.1)", "lora_dropout: expected a number in [0, 1), got -0.1");
  refused(R"("lora_dropout": "no")", R"(lora_dropout: expected a number in [0, 1), got "no")");
  refused(R"("use_rslora": 1)", "use_rslora: expected true or false, got 1");
  refused(R"("fan_in_fan_out": "yes")", R"(fan_in_fan_out: expected true or false, got "yes")");
  refused(R"("inference_mode": 0)", "inference_mode: expected true or false, got 0");
  refused(R"("modules_to_save": "lm_head")", R"(modules_to_save: expected a list of names, got "lm_head")");
  refused(R"("modules_to_save": [1])", "modules_to_save: expected a list of names, got [1]");
  refused(R"("target_modules": [1])", "target_modules: expected a list of names or a regular expression, got [1]");
  refused(R"("target_modules": [""])", R"(target_modules: expected a list of names or a regular expression, got [""])");
  refused(R"("exclude_modules": {})", "exclude_modules: expected a list of names or a regular expression, got {}");
  refused(R"("layers_to_transform": [-1])", "layers_to_transform: expected layer numbers, got [-1]");
  refused(R"("layers_to_transform": "all")", R"(layers_to_transform: expected layer numbers, got "all")");
  refused(R"("layers_pattern": 3)", "layers_pattern: expected one or several patterns, got 3");
  refused(R"("layers_pattern": "h")", "layers_pattern needs layers_to_transform");
  refused(R"("target_modules": "q|v", "layers_to_transform": [1])",
          "layers_to_transform can't be used where target_modules is a regular expression");
  refused(R"("rank_pattern": [1])", "rank_pattern: expected an object, got [1]");
  refused(R"("rank_pattern": {"q": 0})", "rank_pattern['q']: expected integers of 1 or more, got 0");
  refused(R"("alpha_pattern": {"q": "x"})", R"(alpha_pattern['q']: expected positive numbers, got "x")");
  refused(R"("revision": 1)", "revision: expected a string, got 1");
  refused(R"("task_type": [])", "task_type: expected a string, got []");
  refused(R"("base_model_name_or_path": 7)", "base_model_name_or_path: expected a string, got 7");
  refused(R"("adapter_name": "dora")", R"(adapter_name: expected sbora_fa or sbora_fb, got "dora")");
  refused(R"("sbora": 1)", "sbora: expected an object, got 1");
  refused(R"("sbora": {"seed": -1})", "sbora.seed: expected an integer of 0 or more, got -1");
  refused(R"("sbora": {"version": 1})", "sbora.version: expected a string, got 1");
  refused(R"("sbora": {"modules": {}})", "sbora.modules: expected a list, got {}");
  refused(R"("sbora": {"modules": [3]})", "sbora.modules[0]: expected an object, got 3");
  refused(R"("sbora": {"modules": [{"name": "a", "d_out": 3}]})",
          R"(sbora.modules[0]: expected name, d_out and d_in, got {"name":"a","d_out":3})");
  refused(R"("sbora": {"modules": [{"name": "a", "d_out": 3, "d_in": 4, "base_fingerprint": "xyz"}]})",
          "sbora.modules[0].base_fingerprint: expected 16 hexadecimal digits, got 'xyz'");
}

TEST_CASE("all problems come at once, and long values are cut short") {
  const std::string text =
      R"({"peft_type": "LORA", "r": 0, "lora_alpha": "x", "use_dora": true, "rank_pattern": {"a": 1.5, "b": 2, "c": []},
          "target_modules": [")" +
      std::string(500, 'x') + R"(", 1]})";
  const lines problems = problems_of(text);
  REQUIRE(problems.size() == 6);
  for (const std::string& problem : problems) CHECK(problem.size() < 150);
  CHECK_ERROR(checkpoint_error, "sbora: adapter config; mend it, or save the adapter again:\n  r: expected",
              parse_adapter_config(text));
}

TEST_CASE("what isn't an object of JSON is a format error") {
  for (const char* text : {"", "{", "[]", "3", R"({"r": 1,})", R"({"r": NaN})", R"({"lora_alpha": 1e999})",
                           "{\"peft_type\": \"\xFF\"}", R"({"r": 1, "r": 2})", R"({"sbora": {"a": 1, "a": 2}})"}) {
    CAPTURE(text);
    CHECK_THROWS_AS(parse_adapter_config(text), format_error);
    CHECK_THROWS_AS(parse_adapter_config(text, strictness::lenient), format_error);
  }
  CHECK_ERROR(format_error, "/x/adapter_config.json",
              parse_adapter_config("{", strictness::strict, "/x/adapter_config.json"));
  const std::string deep = R"({"x": )" + std::string(100000, '[') + std::string(100000, ']') + "}";
  CHECK_ERROR(format_error, "deeper", parse_adapter_config(deep));
}
