#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include <sbora/model/adapter_config.hpp>
#include <sbora/io/json_fields.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// Keys that say how an adapter was made or is run, and change nothing of what it computes.
inline constexpr std::array without_effect = {"auto_mapping",  "corda_config",  "eva_config",     "init_lora_weights",
                                              "init_weights",  "loftq_config",  "lora_ga_config", "megatron_config",
                                              "megatron_core", "merge_weights", "peft_version",   "qalora_group_size",
                                              "runtime_config"};

/// Keys that change what an adapter computes in ways that sbora doesn't have, wherever they aren't off.
inline constexpr std::array not_honoured = {
    "alora_invocation_tokens", "arrow_config", "enable_lora", "kasa_config", "layer_replication", "lora_bias",
    "monteclora_config",       "use_bdlora",   "use_dora",    "use_qalora",  "velora_config"};

inline bool is_off(const ordered_json& value) {
  return value.is_null() || value == false || value == "" || (value.is_structured() && value.empty());
}

inline std::string hex_text(std::uint64_t value) {
  constexpr const char* digits = "0123456789abcdef";
  std::string text(16, '0');
  for (int i = 15; i >= 0; --i, value >>= 4) text[static_cast<std::size_t>(i)] = digits[value & 15U];
  return text;
}

inline std::optional<std::uint64_t> parse_hex(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  const bool good = status == std::errc() && end == text.data() + text.size() && text.size() == 16;
  return good ? std::optional(value) : std::nullopt;
}

/// Values as files call them.
template <class Value>
using value_name = std::pair<const char*, Value>;

inline constexpr value_name<adapter_kind> kind_names[] = {{"sbora_fa", adapter_kind::fa},
                                                          {"sbora_fb", adapter_kind::fb}};

inline constexpr value_name<bias_training> bias_names[] = {
    {"none", bias_training::none}, {"all", bias_training::all}, {"lora_only", bias_training::adapted}};

template <class Value, std::size_t Count>
std::optional<Value> value_named(const ordered_json& name, const value_name<Value> (&names)[Count]) {
  for (const value_name<Value>& each : names) {
    if (name == each.first) return each.second;
  }
  return std::nullopt;
}
template <class Value, std::size_t Count>
const char* name_of(Value value, const value_name<Value> (&names)[Count]) {
  return std::ranges::find(names, value, &value_name<Value>::second)->first;
}

inline std::optional<adapter_kind> read_kind(const ordered_json& value) { return value_named(value, kind_names); }

/// PEFT's type of an adapter of tokens alone.
inline constexpr const char* tokens_type = "TRAINABLE_TOKENS";
/// And of FA, which it calls PaCA.
inline constexpr const char* paca_type = "PACA";

class adapter_config_reader {
 public:
  adapter_config_reader(const ordered_json& document, problem_list& problems)
      : fields_(document, "", problems), problems_(problems) {}

  adapter_config read() {
    read_type();
    fields_.read_positive("r", config_.r);
    if (config_.peft_type == paca_type) {  // which has neither another scale nor dropout
      fields_.read_positive("paca_alpha", config_.lora_alpha);
    } else {
      fields_.read_positive("lora_alpha", config_.lora_alpha);
      fields_.read("use_rslora", config_.use_rslora);
      read_dropout();
    }
    read_seed();
    fields_.read("fan_in_fan_out", config_.fan_in_fan_out);
    read_filter("target_modules", config_.target_modules);
    read_filter("exclude_modules", config_.exclude_modules);
    read_names("target_parameters", config_.target_parameters);
    read_whole();
    read_tokens();
    read_layers();
    read_pattern(fields_, "rank_pattern", config_.rank_pattern, json_fields::positive_integer, "integers of 1 or more");
    read_pattern(fields_, "alpha_pattern", config_.alpha_pattern, json_fields::positive_number, "positive numbers");
    fields_.read("base_model_name_or_path", config_.base_model_name_or_path);
    fields_.read("revision", config_.revision);
    fields_.read("task_type", config_.task_type);
    fields_.read("inference_mode", config_.inference_mode);
    read_record();
    refuse_what_is_not_honoured();
    return std::move(config_);
  }

 private:
  void read_type() {
    const ordered_json* type = fields_.find("peft_type");
    if (type == nullptr) {
      problems_.refuse_or_skip("peft_type is missing, expected LORA or SBORA");
    } else if (*type == "LORA" || *type == "SBORA" || *type == tokens_type || *type == paca_type) {
      config_.peft_type = type->get<std::string>();
    } else {
      problems_.add("peft_type: expected LORA, SBORA, PACA or TRAINABLE_TOKENS, got " + json_fields::excerpt(*type));
    }
    if (config_.peft_type == paca_type) config_.kind = adapter_kind::fa;
    const ordered_json* name = fields_.find("adapter_name");
    if (name == nullptr) return;
    if (!(config_.kind = read_kind(*name))) fields_.wrong("adapter_name", "sbora_fa or sbora_fb", *name);
  }

  /// Of any kind in Python, and without effect: the indices are in the file.
  void read_seed() {
    const ordered_json* seed = fields_.find("random_seed");
    if (seed == nullptr) return;
    if (seed->is_number_unsigned()) config_.random_seed = seed->get<std::uint64_t>();
    else problems_.skip("random_seed, " + json_fields::excerpt(*seed));
  }

  void read_dropout() {
    const ordered_json* dropout = fields_.find("lora_dropout");
    if (dropout == nullptr) return;
    const double value = dropout->is_number() ? dropout->get<double>() : -1;
    value >= 0 && value < 1 ? void(config_.lora_dropout = value)
                            : fields_.wrong("lora_dropout", "a number in [0, 1)", *dropout);
  }

  static bool is_names(const ordered_json& value) {
    return value.is_array() && std::all_of(value.begin(), value.end(), [](const ordered_json& name) {
             return name.is_string() && !name.get_ref<const std::string&>().empty();
           });
  }

  void read_filter(const char* key, module_filter& into) {
    const ordered_json* value = fields_.find(key);
    if (value == nullptr) return;
    if (value->is_string()) {
      into.regex = value->get<std::string>();
    } else if (is_names(*value)) {
      into.names = value->get<std::vector<std::string>>();
    } else {
      fields_.wrong(key, "a list of names or a regular expression", *value);
    }
  }

  /// What is trained beside the halves.
  void read_whole() {
    if (const ordered_json* bias = fields_.find("bias")) {
      if (const auto named = value_named(*bias, bias_names)) config_.bias = *named;
      else problems_.refuse_or_skip("bias: expected none, all or lora_only, got " + json_fields::excerpt(*bias));
    }
    read_names("modules_to_save", config_.modules_to_save);
  }

  void read_names(const char* key, std::vector<std::string>& into) {
    const ordered_json* names = fields_.find(key);
    if (names == nullptr || is_off(*names)) return;
    if (is_names(*names)) into = names->get<std::vector<std::string>>();
    else fields_.wrong(key, "a list of names", *names);
  }

  static std::optional<std::vector<index_t>> token_list(const ordered_json& value) {
    if (!value.is_array() || !std::all_of(value.begin(), value.end(), is_index)) return std::nullopt;
    return value.get<std::vector<index_t>>();
  }

  void read_tokens() {
    table_token_indices& into = config_.trainable_token_indices;
    const auto add = [&](const std::string& table, const ordered_json& value, const std::string& where) {
      if (auto tokens = token_list(value)) into.emplace_back(table, std::move(*tokens));
      else problems_.add(where + ": expected token ids, got " + json_fields::excerpt(value));
    };
    fields_.read("ensure_weight_tying", config_.ensure_weight_tying);
    const char* const key = "trainable_token_indices";
    if (const ordered_json* value = fields_.find(key); value != nullptr && !is_off(*value)) {
      if (!value->is_object()) add({}, *value, key);
      else
        for (const auto& [table, ids] : value->items()) add(table, ids, std::string(key) + "['" + table + "']");
    }
    if (config_.peft_type != tokens_type) return;
    // One list for all of target_modules, which aren't adapted.
    std::vector<std::string> tables = std::exchange(config_.target_modules, {}).names;
    if (tables.empty()) tables.emplace_back();
    const ordered_json* ids = fields_.find("token_indices");
    if (ids == nullptr) return problems_.add("token_indices is missing, expected token ids");
    for (const std::string& table : tables) add(table, *ids, "token_indices");
  }

  static bool is_index(const ordered_json& value) {
    return value.is_number_unsigned() &&
           value.get<std::uint64_t>() <= std::uint64_t{std::numeric_limits<index_t>::max()};
  }

  void read_layers() {
    if (const ordered_json* layers = fields_.find("layers_to_transform")) {
      if (is_index(*layers)) {
        config_.layers_to_transform = {layers->get<index_t>()};
      } else if (layers->is_array() && std::all_of(layers->begin(), layers->end(), is_index)) {
        config_.layers_to_transform = layers->get<std::vector<index_t>>();
      } else {
        fields_.wrong("layers_to_transform", "layer numbers", *layers);
      }
    }
    if (const ordered_json* patterns = fields_.find("layers_pattern")) {
      if (patterns->is_string()) {
        if (*patterns != "") config_.layers_pattern = {patterns->get<std::string>()};
      } else if (is_names(*patterns)) {
        config_.layers_pattern = patterns->get<std::vector<std::string>>();
      } else {
        fields_.wrong("layers_pattern", "one or several patterns", *patterns);
      }
    }
    // PEFT's own rules.
    if (config_.target_modules.regex && !config_.layers_to_transform.empty()) {
      problems_.add("layers_to_transform can't be used where target_modules is a regular expression");
    }
    if (!config_.layers_pattern.empty() && fields_.find("layers_to_transform") == nullptr) {  // an empty list: all
      problems_.add("layers_pattern needs layers_to_transform");
    }
  }

  template <class Value, class Parse>
  void read_pattern(json_fields& fields, const char* key, std::vector<module_pattern<Value>>& into, Parse&& parse,
                    const char* expected) {
    const ordered_json* pattern = fields.find(key);
    if (pattern == nullptr) return;
    if (!pattern->is_object()) return fields.wrong(key, "an object", *pattern);
    for (const auto& [module, value] : pattern->items()) {
      if (const std::optional<Value> parsed = parse(value)) {
        into.emplace_back(module, *parsed);
      } else {
        problems_.add(std::string(key) + "['" + module + "']: expected " + expected + ", got " +
                      json_fields::excerpt(value));
      }
    }
  }

  void read_record() {
    const ordered_json* value = fields_.find("sbora");
    if (value == nullptr) return;
    if (!value->is_object()) return fields_.wrong("sbora", "an object", *value);
    json_fields fields(*value, "sbora.", problems_);
    sbora_record record;
    read_pattern(fields, "kind_pattern", config_.kind_pattern, read_kind, "sbora_fa or sbora_fb");
    fields.read("version", record.version);
    fields.read("seed", record.seed);
    read_hex(fields, "sbora.save", "save", record.save);
    for (const auto& [key, into] : {std::pair("modules", &record.modules), std::pair("tables", &record.tables)}) {
      const ordered_json* modules = fields.find(key);
      if (modules == nullptr) continue;
      if (!modules->is_array()) return fields.wrong(key, "a list", *modules);
      for (std::size_t i = 0; i < modules->size(); ++i) {
        read_module((*modules)[i], "sbora." + std::string(key) + "[" + std::to_string(i) + "]", *into);
      }
    }
    if (const ordered_json* names = fields.find("embedding_modules")) {
      if (!is_names(*names)) return fields.wrong("embedding_modules", "a list of names", *names);
      config_.embedding_modules = names->get<std::vector<std::string>>();
    }
    config_.sbora = std::move(record);
  }

  void read_hex(json_fields& fields, const std::string& where, const char* key, std::optional<std::uint64_t>& into) {
    std::optional<std::string> digits;
    fields.read(key, digits);
    if (digits && !(into = parse_hex(*digits))) {
      problems_.add(where + ": expected 16 hexadecimal digits, got '" + *digits + "'");
    }
  }

  void read_module(const ordered_json& value, const std::string& where, std::vector<recorded_module>& into) {
    if (!value.is_object()) {
      return problems_.add(where + ": expected an object, got " + json_fields::excerpt(value));
    }
    json_fields fields(value, where + ".", problems_);
    recorded_module module{{}, 0, 0, {}};
    fields.read("name", module.name);
    fields.read_positive("d_out", module.d_out);
    fields.read_positive("d_in", module.d_in);
    read_hex(fields, where + ".base_fingerprint", "base_fingerprint", module.base_fingerprint);
    if (module.name.empty() || module.d_out == 0 || module.d_in == 0) {
      return problems_.add(where + ": expected name, d_out and d_in, got " + json_fields::excerpt(value));
    }
    if (module.name.size() > largest_module_name) {
      return problems_.add(where + ": a name of " + std::to_string(module.name.size()) + " bytes, expected up to " +
                           std::to_string(largest_module_name));
    }
    // Of the axis that isn't trained no tensor has the length, so nothing else bounds it.
    if (module.d_out > largest_dimension || module.d_in > largest_dimension) {
      return problems_.add(where + ": '" + module.name + "' is " + shape_text(module.d_out, module.d_in) +
                           ", expected sizes up to " + std::to_string(largest_dimension));
    }
    into.push_back(std::move(module));
  }

  void refuse_what_is_not_honoured() {
    for (const char* key : not_honoured) {
      const ordered_json* value = fields_.find(key);
      if (value == nullptr || is_off(*value)) continue;
      problems_.refuse_or_skip(std::string(key) + " isn't supported, got " + json_fields::excerpt(*value));
    }
    // Those put a part of the base weights into the adapter, which only works with the changed base.
    if (const ordered_json* init = fields_.find("init_lora_weights"); init != nullptr && init->is_string()) {
      const std::string& name = init->get_ref<const std::string&>();
      for (const char* changes_base : {"pissa", "olora", "corda", "loftq", "lora_ga"}) {
        if (name.compare(0, std::string_view(changes_base).size(), changes_base) == 0) {
          problems_.refuse_or_skip("init_lora_weights: '" + name + "' changes the base weights");
          break;
        }
      }
    }
    for (const char* key : without_effect) fields_.find(key);
    for (const std::string& key : fields_.unread()) problems_.skip("the key '" + key + "' is unknown");
  }

  json_fields fields_;
  problem_list& problems_;
  adapter_config config_;
};

}  // namespace sbora::inline SBORA_ABI::detail
