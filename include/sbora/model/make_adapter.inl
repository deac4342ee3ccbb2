#pragma once

#include <unordered_set>

#include <sbora/model/make_adapter.hpp>
#include <sbora/model/name_lists.hpp>
#include <sbora/model/target_rules.hpp>

namespace sbora::inline SBORA_ABI::detail {

SBORA_INSTANCE_OF std::vector<std::string> unmatched_targets(const adapter_config& config,
                                                             std::span<const model_module> modules) {
  std::unordered_set<std::string_view> suffixes;
  for (const model_module& module : modules) {
    const auto member = parse_stack_member(module.name);
    for_name_suffixes(member ? member->first : std::string_view(module.name),
                      [&](std::string_view suffix) { suffixes.insert(suffix); });
  }
  std::vector<std::string> unmatched;
  for (const std::string& key : config.target_modules.names) {
    if (!suffixes.contains(key)) unmatched.push_back(key);
  }
  for (const std::string& key : config.target_parameters) {
    if (!suffixes.contains(key)) unmatched.push_back(key);
  }
  return unmatched;
}

SBORA_INSTANCE_OF adapter_kind kind_of_module(const adapter_config& config, const target_rules& rules,
                                              const std::string& module) {
  const std::optional<adapter_kind> kind = rules.kind_of(module);
  if (kind) return *kind;
  if (config.kind) return *config.kind;
  throw config_error("sbora: the config doesn't say FA or FB (kind) of module '" + module + "'");
}

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

SBORA_INSTANCE_OF index_t trainable_parameters(const adapter_config& config, std::span<const model_module> modules) {
  detail::require_kind("sbora::trainable_parameters: ", config);
  const target_rules rules(config);
  index_t count = 0;
  for (const model_module& module : modules) {
    if (!rules.matches(module.name)) continue;
    const index_t rank = rules.rank_of(module.name);
    const adapter_kind kind = detail::kind_of_module(config, rules, module.name);
    const std::optional<index_t> own = detail::region_geometry(kind, module.d_out, module.d_in, rank).parameter_count();
    if (!own || __builtin_add_overflow(count, *own, &count)) {
      throw shape_error(detail::message({"sbora::trainable_parameters: module '", module.name, "' of ",
                                         detail::shape_text(module.d_out, module.d_in), " and rank ", rank,
                                         ": more than can be counted"}));
    }
  }
  return count;
}

}  // namespace sbora::inline SBORA_ABI
