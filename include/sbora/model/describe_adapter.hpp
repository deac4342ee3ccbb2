#pragma once

#include <cmath>
#include <limits>
#include <map>
#include <unordered_set>

#include <sbora/model/model_adapter.hpp>
#include <sbora/model/name_lists.hpp>
#include <sbora/model/target_rules.hpp>
#include <sbora/version.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// What an adapter is at one module: all that a config has to give.
struct described_part {
  std::string module;
  index_t rank;
  double alpha;
  adapter_kind kind;
};

inline std::string escaped_regex(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (std::string_view(R"(\^$.|?*+()[]{})").find(c) != std::string_view::npos) escaped += '\\';
    escaped += c;
  }
  return escaped;
}

template <class Value>
Value most_frequent(const std::vector<Value>& values) {
  std::map<Value, int> counts;
  for (const Value& value : values) ++counts[value];
  return std::max_element(counts.begin(), counts.end(),
                          [](const auto& a, const auto& b) { return a.second < b.second; })
      ->first;
}

/// Patterns that give every module its value. Longer names first: a key also matches names that end with it.
template <class Value, class Of>
std::vector<module_pattern<Value>> patterns_for(std::vector<described_part> parts, Value otherwise, Of&& of) {
  const auto usual = [&](const described_part& part) { return of(part) == otherwise; };
  if (std::all_of(parts.begin(), parts.end(), usual)) return {};
  std::stable_sort(parts.begin(), parts.end(),
                   [](const described_part& a, const described_part& b) { return a.module.size() > b.module.size(); });
  std::unordered_set<std::string_view> names;
  for (const described_part& part : parts) names.insert(part.module);
  std::vector<module_pattern<Value>> patterns;
  for (const described_part& part : parts) {
    // Those with the usual value need a key where a shorter name's would match them.
    bool is_suffixed = false;
    for_name_suffixes(part.module, [&](std::string_view suffix) {
      is_suffixed = is_suffixed || (suffix.size() < part.module.size() && names.contains(suffix));
    });
    if (!usual(part) || is_suffixed) patterns.emplace_back(escaped_regex(part.module), of(part));
  }
  return patterns;
}

/// A choice of these parts and no others.
template <class Part>
void choose_by_name(adapter_config& config, const std::vector<Part>& parts) {
  config.target_modules = config.exclude_modules = {};
  config.target_parameters.clear();
  config.layers_to_transform.clear();
  config.layers_pattern.clear();
  for (const Part& part : parts) {
    const auto member = parse_stack_member(part.module);
    if (!member) config.target_modules.names.push_back(part.module);
    else if (std::ranges::find(config.target_parameters, member->first) == config.target_parameters.end()) {
      config.target_parameters.emplace_back(member->first);
    }
  }
}

inline bool describes(const adapter_config& config, std::span<const described_part> parts) {
  if (config.target_modules.empty() && config.target_parameters.empty()) return false;
  const target_rules rules(config);
  return std::all_of(parts.begin(), parts.end(), [&](const described_part& part) {
    return rules.matches(part.module) && rules.rank_of(part.module) == part.rank &&
           rules.alpha_of(part.module) == part.alpha &&
           (rules.kind_of(part.module) ? rules.kind_of(part.module) : config.kind) == part.kind;
  });
}

/// Returns `config` if its rules already give these parts their ranks, alphas and kinds. Otherwise returns a rewritten
/// one that does; it names the modules one by one where the rules don't choose them.
inline adapter_config describing(adapter_config config, const std::vector<described_part>& parts) {
  if (parts.empty() || describes(config, parts)) return config;
  std::vector<index_t> ranks;
  std::vector<double> alphas;
  std::vector<adapter_kind> kinds;
  for (const described_part& part : parts) {
    ranks.push_back(part.rank);
    alphas.push_back(part.alpha);
    kinds.push_back(part.kind);
  }
  config.kind = most_frequent(kinds);
  config.kind_pattern = patterns_for(parts, *config.kind, [](const described_part& part) { return part.kind; });
  config.r = most_frequent(ranks);
  config.lora_alpha = most_frequent(alphas);
  config.rank_pattern = patterns_for(parts, config.r, [](const described_part& part) { return part.rank; });
  config.alpha_pattern = patterns_for(parts, config.lora_alpha, [](const described_part& part) { return part.alpha; });
  if (describes(config, parts)) return config;
  choose_by_name(config, parts);
  return config;
}

/// The alpha whose alpha/rank has the value of `scale`: the nearest double that gives it back, or gives the same
/// float where no double gives the same double.
inline double alpha_of_scale(double scale, index_t rank) {
  const auto r = static_cast<double>(rank);
  const double near = scale * r;
  const double infinity = std::numeric_limits<double>::infinity();
  const double candidates[] = {near, std::nextafter(near, 0.0), std::nextafter(near, infinity)};
  for (const double alpha : candidates) {
    if (alpha / r == scale) return alpha;
  }
  for (const double alpha : candidates) {
    if (static_cast<float>(alpha / r) == static_cast<float>(scale)) return alpha;
  }
  throw config_error(message({"sbora: no alpha gives the scale ", number_text(scale), " at rank ", rank}));
}

/// With rsLoRA's scale folded into alpha where `fold`.
template <class T>
std::vector<described_part> parts_of(const model_adapter<T>& adapter, bool fold = false) {
  std::vector<described_part> parts;
  adapter.for_each([&](const std::string& module, const auto& part) {
    const adapter_options& options = part.options();
    const double root = std::sqrt(static_cast<double>(part.rank()));
    const bool folded = fold && options.rslora;
    parts.push_back(
        {module, part.rank(), folded ? alpha_of_scale(options.alpha / root, part.rank()) : options.alpha, part.kind});
  });
  return parts;
}

/// For a layout without patterns and rsLoRA, and of the config's choice of modules what it says. The layout's name is for
/// messages. Errors: config_error where modules have different ranks, scales or kinds, or aren't linear layers.
template <class T>
adapter_config uniform_config(const model_adapter<T>& adapter, adapter_config config, const std::string& layout) {
  const std::vector<described_part> parts = parts_of(adapter, true);
  config.use_rslora = false;
  config.rank_pattern.clear();
  config.alpha_pattern.clear();
  config.kind_pattern.clear();
  config = describing(std::move(config), parts);
  if (!adapter.tokens().empty() || parts.empty()) {
    throw config_error("sbora: " + layout + " has no trained tokens; save_sbora writes them natively");
  }
  const auto is_stacked = [](const described_part& part) { return parse_stack_member(part.module).has_value(); };
  if (std::ranges::any_of(parts, is_stacked)) {
    throw config_error("sbora: " + layout + " has no stacks of experts; save_sbora writes them natively");
  }
  if (!adapter.kind()) {
    throw config_error("sbora: " + layout + " has one kind for all modules; this adapter has FA and FB");
  }
  for (const described_part& part : parts) {
    if (part.rank == config.r && part.alpha == config.lora_alpha) continue;
    throw config_error(message({"sbora: ", layout, " has one rank and one scale for all modules; module '", part.module,
                                "' has rank ", part.rank, " and alpha ", number_text(part.alpha), ", others ", config.r,
                                " and ", number_text(config.lora_alpha)}));
  }
  return config;
}

/// What the official code understands: modules by suffix or regular expression only.
template <class T>
adapter_config official_config(const model_adapter<T>& adapter) {
  adapter_config config = adapter.config();
  const bool plain = config.exclude_modules.empty() && config.layers_to_transform.empty() &&
                     config.target_modules.regex != "all-linear";
  if (!plain) config.target_modules = {};
  config.random_seed.reset();
  return uniform_config(adapter, std::move(config), "the official layout");
}

/// What PEFT's PaCA understands. Errors: config_error for FB, and what only a LoRA has.
template <class T>
adapter_config paca_config(const model_adapter<T>& adapter) {
  adapter_config config = uniform_config(adapter, adapter.config(), "PaCA");
  if (!trains_b(*adapter.kind())) {
    throw config_error(
        "sbora: PaCA trains columns of weights, which is FA; this adapter is FB, which trains rows; save_sbora or "
        "save_peft_lora write it");
  }
  const auto is_table = [&](const std::string& name) { return is_embedding_name(name, config.embedding_modules); };
  if (config.fan_in_fan_out || std::ranges::any_of(adapter.modules(), is_table)) {
    throw config_error(message({"sbora: PaCA has weights of d_out × d_in of linear layers only, no embeddings and no ",
                                "fan_in_fan_out; save_sbora or save_peft_lora write them"}));
  }
  config.lora_dropout = 0;
  return config;
}

/// What sbora's own files say beyond PEFT's keys.
template <class T>
sbora_record record_of(const model_adapter<T>& adapter) {
  sbora_record record;
  record.version = message({SBORA_VERSION_MAJOR, ".", SBORA_VERSION_MINOR, ".", SBORA_VERSION_PATCH});
  if (adapter.config().sbora) record.seed = adapter.config().sbora->seed;
  adapter.for_each([&](const std::string& module, const auto& part) {
    record.modules.push_back({module, part.d_out(), part.d_in(), adapter.base_fingerprint(module)});
  });
  for (const table_tokens<T>& of : adapter.tokens()) {
    record.tables.push_back({of.module, of.tokens.vocabulary(), of.tokens.features()});
  }
  return record;
}

}  // namespace sbora::inline SBORA_ABI::detail
