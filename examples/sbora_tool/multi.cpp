#include <cstdio>

#include <sbora/io/file_access.hpp>
#include <sbora/io/ledger/ledger_file.hpp>
#include <sbora/io/ledger/ledger_modules.hpp>
#include <sbora/io/ledger/model_fingerprint.hpp>
#include <sbora/io/ledger/verify_merged.hpp>
#include <sbora/model/combine.hpp>
#include <sbora/model/make_adapter.hpp>

#include "base_model.hpp"
#include "commands.hpp"
#include "common/progress.hpp"
#include "multi_status.hpp"

namespace sbora_tool {

namespace {

sbora::adapter_kind kind_of(const multi_options& set) {
  return set.kind == "fb" ? sbora::adapter_kind::fb : sbora::adapter_kind::fa;
}

int init(const multi_options& set) {
  const base_model base(set.base);
  std::vector<sbora::model_module> modules = ledger_modules(base.checkpoint());
  const std::size_t count = modules.size();
  create_ledger(set.ledger,
                sbora::region_ledger(std::move(modules), model_fingerprint(base.checkpoint()), set.crossing));
  std::printf("%zu modules, ledger in %s\n", count, set.ledger.string().c_str());
  return 0;
}

/// A new adapter on what a task owns.
void write_adapter(const multi_options& set, const sbora::region_ledger& ledger) {
  std::error_code ignored;
  if (fs::exists(set.adapter / "adapter_config.json", ignored)) {
    throw input_error(set.adapter.string() + " has an adapter already");
  }
  sbora::adapter_config config = {
      .r = set.rank, .lora_alpha = set.alpha, .sbora = sbora::sbora_record{.seed = set.seed}};
  std::vector<sbora::adapter_part> parts;
  for (const auto& [module, kind, target] : ledger.at(set.task).regions) {
    const auto& of = *std::ranges::find(ledger.modules(), module, &sbora::model_module::name);
    parts.push_back({module, of.d_out, of.d_in, target, set.alpha, {}, kind});
  }
  save_sbora(sbora::model_adapter<float>(kind_of(set), std::move(config), std::move(parts)), set.adapter);
}

/// Where an adapter is, seen from the ledger's folder.
std::string recorded_path(const fs::path& adapter, const fs::path& ledger) {
  return fs::proximate(fs::absolute(adapter), fs::absolute(sbora::detail::directory_of(ledger))).string();
}

int claim(const multi_options& set) {
  if (!set.of.empty() && !set.adapter.empty()) throw input_error("--of and --adapter: one of them");
  const auto claim_new = [&](sbora::region_ledger& ledger) {
    // Modules or stacks of experts by the ends of their names; an expert of a stack by its own.
    const sbora::adapter_config ends = {.target_modules = {set.modules}, .target_parameters = set.modules};
    const sbora::target_rules rules(ends);
    for (const std::string& key : sbora::detail::unmatched_targets(ends, ledger.modules())) {
      const bool is_expert =
          std::ranges::find(ledger.modules(), key, &sbora::model_module::name) != ledger.modules().end();
      if (!is_expert) throw input_error("--modules: no module is named '" + key + "'");
    }
    std::vector<sbora::region_request> requests;
    for (const sbora::model_module& module : ledger.modules()) {
      const bool is_named = std::ranges::find(set.modules, module.name) != set.modules.end();
      if (set.modules.empty() || is_named || rules.matches(module.name)) {
        requests.push_back({module.name, kind_of(set), set.rank});
      }
    }
    ledger.claim(set.task, requests,
                 set.block > 1 ? sbora::blocks_among_free(set.block, set.seed) : sbora::uniform_among_free(set.seed));
    if (set.adapter.empty()) return;
    write_adapter(set, ledger);  // before the ledger says that it is there
    ledger.set_adapter(set.task, recorded_path(set.adapter, set.ledger));
  };
  const auto claim_old = [&](sbora::region_ledger& ledger) {
    const auto is_expert = [](const sbora::model_module& module) {
      return sbora::detail::parse_stack_member(module.name).has_value();
    };
    const std::vector<std::string> stacks = sbora::load_adapter_config(set.of).config.target_parameters;
    if (!stacks.empty() && std::ranges::none_of(ledger.modules(), is_expert)) {
      throw input_error(set.of.string() + " is for stacks of experts (" + stacks.front() +
                        "), and in the ledger's base each expert has tensors of its own, which would have two names; "
                        "train on those modules");
    }
    const auto adapter = sbora::load_adapter(set.of, ledger.modules()).adapter;
    std::vector<sbora::owned_region> regions;
    adapter.for_each([&](const std::string& module, const auto& part) {
      regions.push_back({module, part.kind, part.target()});
    });
    ledger.claim(set.task, std::move(regions));
    ledger.set_adapter(set.task, recorded_path(set.of, set.ledger));
  };
  const auto ledger = sbora::change_ledger(
      set.ledger, [&](sbora::region_ledger& of) { set.of.empty() ? claim_new(of) : claim_old(of); });
  index_t indices = 0;
  for (const auto& owned : ledger.at(set.task).regions) indices += owned.target.rank();
  std::printf("'%s' owns %td columns or rows of %zu modules\n", set.task.c_str(), indices,
              ledger.at(set.task).regions.size());
  return 0;
}

int status(const multi_options& set) {
  const sbora::region_ledger ledger = sbora::load_ledger(set.ledger);
  std::fputs(ledger_bars(ledger).c_str(), stdout);
  if (set.svg.empty()) return 0;
  sbora::atomic_file file(set.svg);
  file.write(ledger_picture(ledger));
  file.commit();
  return 0;
}

/// The base with these tasks merged, as a whole in its place.
void write_model(const multi_options& set, const sbora::region_ledger& ledger, const fs::path& output,
                 const std::vector<std::string>& tasks) {
  const base_model base(set.base);
  const auto adapters = load_task_adapters(ledger, set.ledger, tasks);
  sbora::detail::made_directories made;
  if (!base.checkpoint().index().empty()) made.make(output);
  progress shown("merging");
  write_merged_checkpoint(base.checkpoint(), task_changes(ledger, adapters, base.checkpoint(), tasks), output,
                          [&](std::uint64_t done, std::uint64_t total) { shown.update_bytes(done, total); });
  made.keep();
}

int merge_tasks(const multi_options& set) {
  const sbora::region_ledger ledger = sbora::load_ledger(set.ledger);
  std::error_code ignored;
  const bool folder = fs::is_directory(set.output, ignored);
  if (!set.force && fs::exists(set.output, ignored) && !(folder && fs::is_empty(set.output, ignored))) {
    throw input_error(set.output.string() + " is there already; --force replaces it");
  }
  require_base(ledger, base_model(set.base).checkpoint());
  const auto tasks = set.tasks.empty() ? task_names(ledger) : set.tasks;
  write_model(set, ledger, set.output, tasks);
  std::printf("%zu tasks merged, in %s\n", tasks.size(), set.output.string().c_str());
  return 0;
}

/// The tasks that a model has, and nothing else.
std::vector<std::string> verified(const multi_options& set, const sbora::region_ledger& ledger) {
  const auto adapters = load_task_adapters(ledger, set.ledger, task_names(ledger));
  const base_model base(set.base), model(set.model);
  progress shown("verifying");
  return verify_merged(ledger, adapters, base.checkpoint(), model.checkpoint(),
                       [&](std::uint64_t done, std::uint64_t total) { shown.update_bytes(done, total); });
}

int remove(const multi_options& set) {
  const sbora::region_ledger ledger = sbora::load_ledger(set.ledger);
  std::vector<std::string> left = verified(set, ledger);
  for (const std::string& task : set.tasks) {
    static_cast<void>(ledger.at(task));
    if (std::erase(left, task) == 0) throw input_error("'" + task + "' isn't in " + set.model.string());
  }
  write_model(set, ledger, set.model, left);
  std::printf("%zu tasks removed, %zu left in %s\n", set.tasks.size(), left.size(), set.model.string().c_str());
  return 0;
}

int verify(const multi_options& set) {
  const sbora::region_ledger ledger = sbora::load_ledger(set.ledger);
  if (set.model.empty()) {
    require_base(ledger, base_model(set.base).checkpoint());
    static_cast<void>(load_task_adapters(ledger, set.ledger, task_names(ledger)));
    std::printf("the base and the adapters of %zu tasks are the ledger's\n", ledger.tasks().size());
    return 0;
  }
  const auto tasks = verified(set, ledger);
  std::string names;
  for (const std::string& task : tasks) names += (names.empty() ? ": " : ", ") + task;
  std::printf("the model is the base and %zu tasks, to the last bit%s\n", tasks.size(),
              sbora::detail::readable(names).c_str());
  return 0;
}

int combine_tasks(const multi_options& set) {
  std::error_code ignored;
  if (!set.force && fs::exists(set.output / "adapter_config.json", ignored)) {
    throw input_error(set.output.string() + " has an adapter already; --force replaces it");
  }
  if (!set.weights.empty() && set.weights.size() != set.tasks.size()) {
    throw input_error("--weights: " + std::to_string(set.weights.size()) + " for " + std::to_string(set.tasks.size()) +
                      " tasks");
  }
  const sbora::region_ledger ledger = sbora::load_ledger(set.ledger);
  const auto adapters = load_task_adapters(ledger, set.ledger, set.tasks);
  std::vector<sbora::weighted_adapter<float>> weighted;
  for (std::size_t i = 0; i < set.tasks.size(); ++i) {
    weighted.push_back({&adapters.find(set.tasks[i])->second, set.weights.empty() ? 1 : set.weights[i]});
  }
  using enum sbora::combination;
  const std::pair<const char*, sbora::combination> methods[] = {{"linear", linear},
                                                                {"cat", cat},
                                                                {"magnitude_prune", magnitude_prune},
                                                                {"ties", ties},
                                                                {"dare_linear", dare_linear},
                                                                {"dare_ties", dare_ties}};
  sbora::combine_options options = {.density = set.density, .seed = set.seed};
  for (const auto& [name, method] : methods) {
    if (set.method == name) options.method = method;
  }
  const auto result = combine(weighted, options);
  save_sbora(result, set.output);
  std::printf("%zu tasks in one adapter of %td modules, in %s\n", set.tasks.size(), result.size(),
              set.output.string().c_str());
  return 0;
}

}  // namespace

int multi(const multi_options& set) {
  switch (set.action) {
    case multi_action::init: return init(set);
    case multi_action::claim: return claim(set);
    case multi_action::release:
      sbora::change_ledger(set.ledger, [&](sbora::region_ledger& ledger) { ledger.release(set.task); });
      return 0;
    case multi_action::transfer:
      sbora::change_ledger(set.ledger, [&](sbora::region_ledger& ledger) { ledger.transfer(set.task, set.to); });
      return 0;
    case multi_action::status: return status(set);
    case multi_action::merge: return merge_tasks(set);
    case multi_action::remove: return remove(set);
    case multi_action::verify: return verify(set);
    case multi_action::combine: return combine_tasks(set);
  }
  return 1;
}

}  // namespace sbora_tool
