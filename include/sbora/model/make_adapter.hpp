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
/// Requires    config.kind; modules by distinct names.
/// Numerics    the same regions everywhere, whatever other modules there are: see module_seed.
/// Errors      config_error: no kind, no module chosen, a target_modules name that no module has, a rank above a
///             module's dimension, and those of target_rules; all names at once. What `choose` throws.
template <class T = float, class Choose = region_choice>
model_adapter<T> make_adapter(adapter_config config, std::span<const model_module> modules, std::uint64_t seed,
                              const Choose& choose = uniform_region) {
  constexpr const char* who = "sbora::make_adapter: ";
  if (!config.kind) throw config_error(std::string(who) + "the config doesn't say FA or FB (kind)");
  const target_rules rules(config);
  std::vector<std::string> problems;
  for (const std::string& key : detail::unmatched_targets(config, modules)) {
    problems.push_back("target_modules: no module is named '" + key + "'");
  }
  std::vector<adapter_part> parts;
  for (const model_module& module : modules) {
    if (!rules.matches(module.name)) continue;
    const index_t rank = rules.rank_of(module.name);
    const index_t dim = config.kind == adapter_kind::fa ? module.d_in : module.d_out;
    if (rank > dim) {
      problems.push_back("module '" + module.name + "': rank " + std::to_string(rank) + " is above its " +
                         (config.kind == adapter_kind::fa ? "d_in " : "d_out ") + std::to_string(dim));
    } else if (problems.empty()) {
      parts.push_back({module.name, module.d_out, module.d_in,
                       choose(module, dim, rank, module_seed(seed, module.name, 0)), rules.alpha_of(module.name)});
    }
  }
  if (problems.empty() && parts.empty()) {
    throw config_error(std::string(who) + "target_modules chooses none of the " + std::to_string(modules.size()) +
                       " modules" + (modules.empty() ? "" : ", such as '" + modules.front().name + "'"));
  }
  if (!problems.empty()) throw config_error(who + detail::problem_lines(problems));
  if (!config.sbora) config.sbora.emplace();
  config.sbora->seed = seed;
  return model_adapter<T>(*config.kind, std::move(config), std::move(parts));
}

}  // namespace sbora::inline SBORA_ABI
