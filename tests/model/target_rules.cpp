// Which modules an adapter is for, by PEFT's rules (tuners_utils.py; TestRankAndAlphaPattern of its suite).

#include <sbora/model/target_rules.hpp>

#include "support/message.hpp"

using sbora::adapter_config;
using sbora::config_error;
using sbora::target_rules;

namespace {

const std::vector<std::string> llama = [] {
  std::vector<std::string> names;
  for (int layer = 0; layer < 12; ++layer) {
    for (const char* part : {"self_attn.q_proj", "self_attn.k_proj", "mlp.up_proj"}) {
      names.push_back("model.layers." + std::to_string(layer) + "." + part);
    }
  }
  names.push_back("lm_head");
  return names;
}();

std::vector<std::string> chosen(const adapter_config& config, const std::vector<std::string>& names = llama) {
  const target_rules rules(config);
  std::vector<std::string> matching;
  for (const std::string& name : names) {
    if (rules.matches(name)) matching.push_back(name);
  }
  return matching;
}

using lines = std::vector<std::string>;

}  // namespace

TEST_CASE("a list names modules exactly or by what follows a dot") {
  adapter_config config;
  config.target_modules.names = {"proj"};
  CHECK(chosen(config).empty());
  config.target_modules.names = {"q_proj", "lm_head"};
  CHECK(chosen(config).size() == 13);
  config.target_modules.names = {"layers.1.self_attn.q_proj"};  // not layers.11
  CHECK(chosen(config) == lines{"model.layers.1.self_attn.q_proj"});
  config.target_modules.names = {"1.self_attn.q_proj"};
  CHECK(chosen(config) == lines{"model.layers.1.self_attn.q_proj"});
  config.target_modules.names = {};
  CHECK(chosen(config).empty());
}

TEST_CASE("a string is a regular expression over the whole name") {
  adapter_config config;
  config.target_modules.regex = R"(.*\.(q|k)_proj)";
  CHECK(chosen(config).size() == 24);
  config.target_modules.regex = "q_proj";
  CHECK(chosen(config).empty());
  config.target_modules.regex = R"(model\.layers\.\d\.mlp\.up_proj)";
  CHECK(chosen(config).size() == 10);
  config.target_modules.regex = R"(.*layers\.(?:[02468]|10)\..*(?<!x)k_proj)";  // Python's look-behind
  CHECK_THROWS_AS(chosen(config), config_error);
  for (const char* all : {"all-linear", "All-Linear"}) {
    config.target_modules.regex = all;
    CHECK(chosen(config) == llama);
  }
}

TEST_CASE("what is excluded goes first") {
  adapter_config config;
  config.target_modules.regex = "all-linear";
  config.exclude_modules.names = {"lm_head", "up_proj"};
  CHECK(chosen(config).size() == 24);
  config.exclude_modules = {{}, R"(.*\.1?\d\.self_attn.*)"};
  CHECK(chosen(config).size() == 13);
  config.target_modules = {{"lm_head"}, {}};
  config.exclude_modules = {{"lm_head"}, {}};
  CHECK(chosen(config).empty());
  config.exclude_modules = {{"head"}, {}};
  CHECK(chosen(config) == lines{"lm_head"});
}

TEST_CASE("layers_to_transform keeps the layers with these numbers") {
  adapter_config config;
  config.target_modules.names = {"q_proj", "lm_head"};
  config.layers_to_transform = {1, 11};
  CHECK(chosen(config) ==
        lines{"model.layers.1.self_attn.q_proj", "model.layers.11.self_attn.q_proj", "lm_head"});  // exact: kept
  config.target_modules.names = {"model.layers.0.self_attn.q_proj"};
  CHECK(chosen(config) == lines{"model.layers.0.self_attn.q_proj"});
}

TEST_CASE("the layer number has two parts before it and one after") {
  adapter_config config;
  config.target_modules.names = {"up"};
  config.layers_to_transform = {3};
  CHECK(chosen(config, {"a.b.3.up", "layers.3.up", "a.b.c.3.up", "a.3.up", "3.up", "a.b.3x.up", "a.b.03.up"}) ==
        lines{"a.b.3.up", "a.b.c.3.up", "a.b.03.up"});
  // Experts are numbered too; the layer comes first.
  CHECK(chosen(config, {"model.layers.3.experts.7.up", "model.layers.7.experts.3.up"}) ==
        lines{"model.layers.3.experts.7.up"});
  CHECK(chosen(config, {"a.b.99999999999999999999999999999999.up"}).empty());
}

TEST_CASE("layers_pattern says what comes before the layer number") {
  adapter_config config;
  config.target_modules.names = {"up"};
  config.layers_to_transform = {3};
  config.layers_pattern = {"experts"};
  CHECK(chosen(config, {"m.layers.3.experts.7.up", "m.layers.7.experts.3.up", "experts.3.up", "m.layers.3.up"}) ==
        lines{"m.layers.7.experts.3.up", "experts.3.up"});
  config.layers_pattern = {"blocks", "(?:h|layers)"};
  CHECK(chosen(config, {"m.h.3.up", "m.layers.3.up", "m.blocks.3.up", "m.other.3.up", "m.blocks.1.h.3.up"}) ==
        lines{"m.h.3.up", "m.layers.3.up", "m.blocks.3.up"});
  config.layers_pattern = {"layers"};  // the first one, not the last
  CHECK(chosen(config, {"layers.3.layers.7.up", "layers.7.layers.3.up", "m.layers.3.layers.7.up"}) ==
        lines{"layers.3.layers.7.up", "m.layers.3.layers.7.up"});
  config.layers_pattern = {"h|layers"};  // as PEFT has it: h with no number, or layers at the root
  CHECK(chosen(config, {"m.h.3.up", "h.3.up", "m.layers.3.up", "layers.3.up"}) == lines{"layers.3.up"});
}

TEST_CASE("the first matching pattern gives rank and alpha") {
  adapter_config config;
  config.r = 8;
  config.lora_alpha = 16;
  config.rank_pattern = {{"layers.1.self_attn.q_proj", 2}, {"q_proj", 3}, {"model.layers.0.*", 4}};
  config.alpha_pattern = {{"k_proj|q_proj", 5.5}, {"q_proj", 6}};
  const target_rules rules(config);
  CHECK(rules.rank_of("model.layers.1.self_attn.q_proj") == 2);
  CHECK(rules.rank_of("model.layers.11.self_attn.q_proj") == 3);
  CHECK(rules.rank_of("model.layers.0.self_attn.q_proj") == 3);
  CHECK(rules.rank_of("model.layers.0.self_attn.k_proj") == 4);
  CHECK(rules.rank_of("model.layers.2.self_attn.k_proj") == 8);
  CHECK(rules.rank_of("q_proj") == 3);
  CHECK(rules.rank_of("seq_proj") == 8);      // neither from the start nor from a dot
  CHECK(rules.rank_of("q_proj.inner") == 8);  // to the end
  CHECK(rules.alpha_of("model.layers.0.self_attn.q_proj") == 5.5);
  CHECK(rules.alpha_of("model.layers.0.mlp.up_proj") == 16);
}

TEST_CASE("expressions that can't be used are refused by key and text") {
  const auto refused = [](const char* key, const std::string& text, auto&& set) {
    adapter_config config;
    config.layers_to_transform = {1};
    set(config, text);
    CHECK_ERROR(config_error, std::string(key) + ": '" + text.substr(0, 200), target_rules{config});
  };
  const auto target = [](adapter_config& config, const std::string& text) { config.target_modules.regex = text; };
  for (const char* text :
       {"(", "*", "[", "a{", "(?P<x>a)", "\\", "[[:alpha:]]", R"((a)\1)", R"(\\\22222222222222222222222)",
        R"(.*q_proj\Z)", R"(\Aq)", "[]a]", "[^]a]", "a++", "a{2}*"}) {
    refused("target_modules", text, target);
  }
  refused("exclude_modules", "(", [](auto& config, const auto& text) { config.exclude_modules.regex = text; });
  refused("layers_pattern", "(", [](auto& config, const auto& text) { config.layers_pattern = {"h", text}; });
  refused("rank_pattern", "(", [](auto& config, const auto& text) { config.rank_pattern = {{"a", 1}, {text, 2}}; });
  refused("alpha_pattern", "(", [](auto& config, const auto& text) { config.alpha_pattern = {{text, 2}}; });
}

TEST_CASE("expressions that would exhaust stack or time are refused or matched in little of both") {
  const auto target = [](const std::string& text) {
    adapter_config config;
    config.target_modules.regex = text;
    return target_rules(config);
  };
  CHECK_ERROR(config_error, "more than 64 nested groups", target(std::string(65, '(') + std::string(65, ')')));
  CHECK_ERROR(config_error, "longer than 4096 characters", target(std::string(4097, 'a')));
  CHECK_ERROR(config_error, "longer than 4096 characters", target("((a?){100}){300}"));
  CHECK_ERROR(config_error, "longer than 4096 characters", target("a{2,99999999999999999999}"));
  CHECK_ERROR(config_error, "more than 2 nested lookaheads", target("(?=.*(?!.*(?=.*a)))a"));
  CHECK(target(R"((?=.*(?!.*b))(?=a)a\(\(?)").matches("a("));
  CHECK_ERROR(config_error, "it has a back-reference", target("(a)\\1"));
  CHECK(target("[()]{2}[^)]").matches("()x"));     // in a class, they open and close nothing
  CHECK(target(R"(\[]q\.\d+)").matches("[]q.1"));  // an escaped '[' opens no class
  CHECK(target(R"(a\\1)").matches("a\\1"));        // an escaped backslash before a 1
  CHECK_NOTHROW(target(std::string(64, '(') + std::string(64, ')')));
  CHECK(target("a{2,3}b{2}").matches("aabb"));
  std::string optionals;
  for (int i = 0; i < 2048; ++i) optionals += "a?";
  CHECK(target(optionals).matches(std::string(2048, 'a')));
  CHECK_FALSE(target("(a*)*b").matches(std::string(2000, 'a')));
}
