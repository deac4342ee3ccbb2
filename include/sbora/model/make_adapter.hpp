#pragma once

#include <span>

#include <sbora/core/compiled_once.hpp>
#include <sbora/model/model_adapter.hpp>
#include <sbora/model/problem_list.hpp>
#include <sbora/model/target_rules.hpp>
#include <sbora/regions/sample.hpp>

namespace sbora::inline SBORA_ABI {

/// Chooses a module's region of `rank` indices of [0, dim); dim is d_in for FA, d_out for FB. `seed` is
/// module_seed(seed of the adapter, module, 0). This, or any function object that is called like it.
using region_choice = region (*)(const model_module& module, index_t dim, index_t rank, std::uint64_t seed);

/// sample_region: uniform.
inline region uniform_region(const model_module&, index_t dim, index_t rank, std::uint64_t seed) {
  return sample_region(dim, rank, seed);
}

}  // namespace sbora::inline SBORA_ABI

namespace sbora::inline SBORA_ABI::detail {

/// Names of target_modules that no module has: asked for and silently left out otherwise.
SBORA_IN_MODEL_INSTANCES std::vector<std::string> unmatched_targets(const adapter_config& config,
                                                                    std::span<const model_module> modules);

/// Errors: config_error where the config says nothing of kinds.
inline void require_kind(const char* who, const adapter_config& config) {
  if (config.kind || !config.kind_pattern.empty()) return;
  throw config_error(message({who, "the config doesn't say FA or FB (kind)"}));
}

/// The kind of one of a config's modules. Errors: config_error where it says none.
SBORA_IN_MODEL_INSTANCES adapter_kind kind_of_module(const adapter_config& config, const target_rules& rules,
                                                     const std::string& module);

/// The parts of a new adapter.
template <class Choose>
std::vector<adapter_part> plan_parts(const adapter_config& config, std::span<const model_module> modules,
                                     std::uint64_t seed, const Choose& choose) {
  constexpr const char* who = "sbora::make_adapter: ";
  require_kind(who, config);
  const target_rules rules(config);
  std::vector<std::string> problems;
  for (const std::string& key : unmatched_targets(config, modules)) {
    problems.push_back("target_modules: no module is named '" + key + "'");
  }
  std::vector<adapter_part> parts;
  for (const model_module& module : modules) {
    if (!rules.matches(module.name)) continue;
    const adapter_kind kind = kind_of_module(config, rules, module.name);
    const region_geometry geometry(kind, module.d_out, module.d_in, rules.rank_of(module.name));
    if (geometry.rank > geometry.dim) {
      problems.push_back(message(
          {"module '", module.name, "': rank ", geometry.rank, " is above its ", dim_name(kind), " ", geometry.dim}));
    } else if (problems.empty()) {
      parts.push_back({module.name,
                       module.d_out,
                       module.d_in,
                       choose(module, geometry.dim, geometry.rank, module_seed(seed, module.name, 0)),
                       rules.alpha_of(module.name),
                       {},
                       kind});
    }
  }
  if (problems.empty() && parts.empty()) {
    throw config_error(message({who, "target_modules chooses none of the ", modules.size(), " modules",
                                (modules.empty() ? "" : ", such as '" + modules.front().name + "'")}));
  }
  if (!problems.empty()) throw config_error(who + problem_lines(problems));
  return parts;
}

/// With the seed in its record.
inline adapter_config seeded(adapter_config config, std::uint64_t seed) {
  if (!config.sbora) config.sbora.emplace();
  config.sbora->seed = seed;
  return config;
}

template <class Choose>
concept chooses_regions =
    requires(const Choose& choose, const model_module& module, index_t dim, index_t rank, std::uint64_t seed) {
      { choose(module, dim, rank, seed) } -> std::convertible_to<region>;
    };

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

/// How many parameters make_adapter's adapter trains, without making it. Errors: config_error: no kind,
/// and those of target_rules; shape_error for more than can be counted.
SBORA_IN_MODEL_INSTANCES index_t trainable_parameters(const adapter_config& config,
                                                      std::span<const model_module> modules);

/// A new adapter over the modules that the config's rules choose, with regions drawn from one seed.
///
/// Effect      parts in the order of `modules`; zero, so nothing changes yet. The seed is kept in the config's record
///             and, saved, in the file.
/// Requires    a kind for each module, by config.kind or kind_pattern; modules by distinct names.
/// Numerics    the same regions everywhere, whatever other modules there are: see module_seed.
/// Errors      config_error: no kind, no module chosen, a target_modules name that no module has, a rank above a
///             module's dimension, and those of target_rules; all names at once. What `choose` throws.
template <class T = float, detail::chooses_regions Choose = region_choice>
model_adapter<T> make_adapter(adapter_config config, std::span<const model_module> modules, std::uint64_t seed,
                              const Choose& choose = uniform_region) {
  auto parts = detail::plan_parts(config, modules, seed, choose);
  const adapter_kind kind = *parts[0].kind;
  return model_adapter<T>(kind, detail::seeded(std::move(config), seed), std::move(parts));
}

/// The same on memory of the caller's, of trainable_parameters(config, modules) numbers: zero the parameters for a new
/// adapter. Errors: shape_error where it has another size.
template <class T, detail::chooses_regions Choose = region_choice>
model_adapter<T> make_adapter(adapter_config config, std::span<const model_module> modules, std::uint64_t seed,
                              adapter_memory<T> memory, const Choose& choose = uniform_region) {
  auto parts = detail::plan_parts(config, modules, seed, choose);
  const adapter_kind kind = *parts[0].kind;
  return model_adapter<T>(kind, detail::seeded(std::move(config), seed), std::move(parts), memory);
}

}  // namespace sbora::inline SBORA_ABI
