#pragma once

#include <map>
#include <tuple>

#include <sbora/model/region_ledger.hpp>
#include <sbora/regions/select.hpp>

namespace sbora::inline SBORA_ABI::detail {

inline constexpr const char* ledger_name = "sbora::region_ledger: ";

/// "3, 17 and 5 more"
inline std::string few_indices(std::span<const index_t> indices) {
  constexpr std::size_t few = 4;
  std::string text;
  for (std::size_t i = 0; i < indices.size() && i < few; ++i) {
    text += message({text.empty() ? "" : ", ", indices[i]});
  }
  return indices.size() > few ? message({text, " and ", indices.size() - few, " more"}) : text;
}

inline region_geometry geometry_of(const model_module& module, adapter_kind kind, index_t rank) {
  return {kind, module.d_out, module.d_in, rank};
}

/// Where a claim can be met, the indices free[i] for i of `places`.
inline std::vector<index_t> picked(std::span<const index_t> free, std::span<const index_t> places) {
  std::vector<index_t> indices;
  indices.reserve(places.size());
  for (const index_t place : places) indices.push_back(free[static_cast<std::size_t>(place)]);
  return indices;
}

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

SBORA_INSTANCE_OF free_choice uniform_among_free(std::uint64_t seed) {
  return [seed](const region_request& request, index_t, std::span<const index_t> free) {
    const auto places = detail::shuffled_prefix(std::ssize(free), request.rank, module_seed(seed, request.module, 0));
    return detail::picked(free, places);
  };
}

SBORA_INSTANCE_OF free_choice blocks_among_free(index_t block, std::uint64_t seed) {
  return [block, seed](const region_request& request, index_t, std::span<const index_t> free) {
    if (block < 1 || request.rank % block != 0) {
      throw region_error(detail::message({"rank = ", request.rank, " is not a multiple of block = ", block}));
    }
    std::vector<index_t> blocks;  // places in `free` at which one begins
    for (index_t i = 0; i + block <= std::ssize(free); ++i) {
      const index_t first = free[static_cast<std::size_t>(i)];
      if (first % block == 0 && free[static_cast<std::size_t>(i + block - 1)] == first + block - 1) blocks.push_back(i);
    }
    const index_t wanted = request.rank / block;
    if (wanted > std::ssize(blocks)) {
      throw region_error(
          detail::message({wanted, " blocks of ", block, " asked for, ", blocks.size(), " are free as a whole"}));
    }
    std::vector<index_t> indices;
    for (const index_t b : detail::shuffled_prefix(std::ssize(blocks), wanted, module_seed(seed, request.module, 0))) {
      const index_t at = blocks[static_cast<std::size_t>(b)];
      for (index_t i = 0; i < block; ++i) indices.push_back(free[static_cast<std::size_t>(at + i)]);
    }
    return indices;
  };
}

SBORA_INSTANCE_OF free_choice
best_among_free(std::function<std::span<const double>(std::string_view module, adapter_kind kind)> scores_of) {
  return [scores = std::move(scores_of)](const region_request& request, index_t dim, std::span<const index_t> free) {
    const std::span<const double> of_all = scores(request.module, request.kind);
    if (std::ssize(of_all) != dim) {
      throw region_error(detail::message({of_all.size(), " scores, expected ", dim}));
    }
    std::vector<double> of_free;
    of_free.reserve(free.size());
    for (const index_t index : free) of_free.push_back(of_all[static_cast<std::size_t>(index)]);
    return detail::picked(free, top_region(of_free, request.rank).indices());
  };
}

SBORA_INSTANCE_OF region_ledger::region_ledger(std::vector<model_module> modules, std::uint64_t base, bool crossing,
                                               std::vector<ledger_task> tasks)
    : modules_(detail::ledger_name, std::move(modules)), base_(base), crossing_(crossing) {
  detail::problem_list problems;
  check(tasks, problems);
  problems.throw_if_any("the ledger contradicts itself", "put back the file as sbora wrote it");
  tasks_ = std::move(tasks);
}

SBORA_INSTANCE_OF bool region_ledger::has(std::string_view task) const noexcept {
  return std::any_of(tasks_.begin(), tasks_.end(), [&](const ledger_task& of) { return of.name == task; });
}

SBORA_INSTANCE_OF std::size_t region_ledger::require(std::string_view task) const {
  std::string names;
  for (std::size_t i = 0; i < tasks_.size(); ++i) {
    if (tasks_[i].name == task) return i;
    if (i < 8) names += (names.empty() ? "'" : ", '") + tasks_[i].name + "'";
  }
  if (tasks_.size() > 8) names += detail::message({" and ", tasks_.size() - 8, " more"});
  throw config_error(
      detail::message({detail::ledger_name, "no task '", task, "'; there are ", (names.empty() ? "none" : names)}));
}

SBORA_INSTANCE_OF const ledger_task& region_ledger::at(std::string_view task) const& { return tasks_[require(task)]; }

SBORA_INSTANCE_OF const region& region_ledger::target(std::string_view task, std::string_view module) const& {
  for (const owned_region& owned : at(task).regions) {
    if (owned.module == module) return owned.target;
  }
  throw config_error(detail::message({detail::ledger_name, "task '", task, "' owns nothing of module '", module, "'"}));
}

/// All that makes tasks impossible, alone and together.
SBORA_INSTANCE_OF void region_ledger::check(const std::vector<ledger_task>& tasks,
                                            detail::problem_list& problems) const {
  struct owner {
    index_t index;
    std::size_t task;
    bool operator<(const owner& other) const { return std::tie(index, task) < std::tie(other.index, other.task); }
  };
  std::map<std::pair<std::size_t, adapter_kind>, std::vector<owner>> owners;  // by module and kind
  std::map<std::string_view, std::size_t> names;
  for (std::size_t t = 0; t < tasks.size(); ++t) {
    const ledger_task& task = tasks[t];
    const std::string who = "task '" + task.name + "': ";
    if (task.name.empty()) problems.add("a task without a name");
    if (!names.emplace(task.name, t).second) problems.add("task '" + task.name + "' comes twice");
    if (task.regions.empty()) problems.add(who + "owns nothing");
    std::map<std::string_view, bool> modules;
    for (const owned_region& owned : task.regions) {
      const std::optional<std::size_t> found = modules_.position(owned.module);
      if (!found) {
        problems.add(who + detail::unknown_module(owned.module, this->modules()));
        continue;
      }
      if (!modules.emplace(owned.module, true).second) {
        problems.add(who + "module '" + owned.module + "' comes twice");
        continue;
      }
      const auto geometry = detail::geometry_of(this->modules()[*found], owned.kind, owned.target.rank());
      if (owned.target.dim() != geometry.dim) {
        problems.add(detail::message({who, "the region of module '", owned.module, "' is of [0, ", owned.target.dim(),
                                      "), ", detail::dim_name(owned.kind), " is ", geometry.dim}));
        continue;
      }
      auto& of = owners[{*found, owned.kind}];
      for (const index_t index : owned.target.sorted()) of.push_back({index, t});
    }
  }
  const auto name = [&](std::size_t task) { return "'" + tasks[task].name + "'"; };
  std::optional<std::pair<std::size_t, std::size_t>> other_kind;  // module, and a task of its first kind
  for (auto& [where, of] : owners) {
    const std::string module = "module '" + modules()[where.first].name + "'";
    const std::string what = detail::region_name(where.second);
    if (!crossing_ && other_kind && other_kind->first == where.first) {
      problems.add(module + ": tasks " + name(other_kind->second) + " and " + name(of.front().task) +
                   " own columns and rows, which cross");
    }
    other_kind.emplace(where.first, of.front().task);
    std::sort(of.begin(), of.end());
    std::map<std::pair<std::size_t, std::size_t>, std::vector<index_t>> shared;
    for (std::size_t i = 1; i < of.size(); ++i) {
      if (of[i].index == of[i - 1].index) shared[{of[i - 1].task, of[i].task}].push_back(of[i].index);
    }
    for (const auto& [pair, indices] : shared) {
      problems.add(module + ": tasks " + name(pair.first) + " and " + name(pair.second) + " both own " + what + " " +
                   detail::few_indices(indices));
    }
  }
}

/// The tasks as they are with that of `task` besides.
SBORA_INSTANCE_OF std::vector<ledger_task> region_ledger::with_regions(const std::string& task,
                                                                       std::vector<owned_region> regions) const {
  std::vector<ledger_task> tasks = tasks_;
  auto found = std::find_if(tasks.begin(), tasks.end(), [&](const ledger_task& of) { return of.name == task; });
  if (found == tasks.end()) {
    tasks.push_back({.name = task, .regions = std::move(regions)});
    return tasks;
  }
  ++found->version;
  std::move(regions.begin(), regions.end(), std::back_inserter(found->regions));
  return tasks;
}

SBORA_INSTANCE_OF void region_ledger::claim(const std::string& task, std::vector<owned_region> regions) {
  std::vector<ledger_task> tasks = with_regions(task, std::move(regions));
  detail::problem_list problems;
  check(tasks, problems);
  problems.throw_if_any("the claim of task '" + task + "' is refused", "claim what is free, or release some first");
  tasks_ = std::move(tasks);
}

SBORA_INSTANCE_OF void region_ledger::claim(const std::string& task, std::span<const region_request> requests,
                                            const free_choice& choose) {
  detail::problem_list problems;
  std::vector<owned_region> regions;
  for (const region_request& request : requests) {
    const std::string who = "module '" + request.module + "': ";
    const std::optional<std::size_t> found = modules_.position(request.module);
    if (!found) {
      problems.add(detail::unknown_module(request.module, modules()));
      continue;
    }
    const std::vector<index_t> free = free_indices(request.module, request.kind);
    const index_t dim = detail::geometry_of(modules()[*found], request.kind, 1).dim;
    if (request.rank < 1 || request.rank > std::ssize(free)) {
      const bool crossed = free.empty() && !free_indices(request.module, detail::transposed_kind(request.kind)).empty();
      problems.add(detail::message(
          {who, request.rank, " ", detail::region_name(request.kind), " asked for, ", free.size(), " of ", dim,
           " are left",
           crossed ? detail::message({", since others own ", detail::region_name(detail::transposed_kind(request.kind)),
                                      ", which cross"})
                   : ""}));
      continue;
    }
    try {
      std::vector<index_t> chosen = choose(request, dim, free);
      const auto is_free = [&](index_t index) { return std::binary_search(free.begin(), free.end(), index); };
      if (std::ssize(chosen) != request.rank || !std::all_of(chosen.begin(), chosen.end(), is_free)) {
        problems.add(detail::message({who, "the choice isn't ", request.rank, " of what is free"}));
        continue;
      }
      regions.push_back({request.module, request.kind, region(dim, std::move(chosen))});
    } catch (const region_error& error) {
      problems.add(who + error.what());
    }
  }
  problems.throw_if_any("the claim of task '" + task + "' is refused", "ask for what is left, or release some first");
  claim(task, std::move(regions));
}

SBORA_INSTANCE_OF void region_ledger::release(std::string_view task) {
  tasks_.erase(tasks_.begin() + static_cast<std::ptrdiff_t>(require(task)));
}

SBORA_INSTANCE_OF void region_ledger::release(std::string_view task, std::span<const std::string> modules) {
  for (const std::string& module : modules) static_cast<void>(target(task, module));  // all are there, or none goes
  ledger_task& of = tasks_[require(task)];
  std::erase_if(of.regions, [&](const owned_region& owned) {
    return std::find(modules.begin(), modules.end(), owned.module) != modules.end();
  });
  ++of.version;
  if (of.regions.empty()) release(task);
}

SBORA_INSTANCE_OF void region_ledger::transfer(std::string_view from, const std::string& to) {
  const std::size_t source = require(from);
  if (from == to) return;
  std::vector<ledger_task> tasks = has(to) ? with_regions(to, tasks_[source].regions) : tasks_;
  if (has(to)) {
    tasks.erase(tasks.begin() + static_cast<std::ptrdiff_t>(source));
  } else {
    tasks[source].name = to;
    ++tasks[source].version;
  }
  detail::problem_list problems;
  check(tasks, problems);
  problems.throw_if_any("the transfer to task '" + to + "' is refused", "release one of the two first");
  tasks_ = std::move(tasks);
}

SBORA_INSTANCE_OF void region_ledger::set_adapter(std::string_view task, std::string folder) {
  tasks_[require(task)].adapter = std::move(folder);
}

SBORA_INSTANCE_OF std::vector<index_t> region_ledger::free_indices(std::string_view module, adapter_kind kind) const {
  const std::optional<std::size_t> found = modules_.position(module);
  if (!found) throw config_error(detail::ledger_name + detail::unknown_module(std::string(module), modules()));
  const index_t dim = detail::geometry_of(modules()[*found], kind, 1).dim;
  std::vector<bool> taken(static_cast<std::size_t>(dim));
  for (const ledger_task& task : tasks_) {
    for (const owned_region& owned : task.regions) {
      if (owned.module != module) continue;
      if (owned.kind != kind && !crossing_) return {};
      if (owned.kind != kind) continue;
      for (const index_t index : owned.target.sorted()) taken[static_cast<std::size_t>(index)] = true;
    }
  }
  std::vector<index_t> free;
  for (index_t i = 0; i < dim; ++i) {
    if (!taken[static_cast<std::size_t>(i)]) free.push_back(i);
  }
  return free;
}

SBORA_INSTANCE_OF std::vector<module_capacity> region_ledger::capacity() const {
  std::map<std::pair<std::string_view, adapter_kind>, index_t> owned;
  for (const ledger_task& task : tasks_) {
    for (const owned_region& of : task.regions) owned[{of.module, of.kind}] += of.target.rank();
  }
  std::vector<module_capacity> all;
  for (const model_module& module : modules()) {
    const auto left = [&](adapter_kind kind) {
      if (!crossing_ && owned.contains({module.name, detail::transposed_kind(kind)})) return index_t{0};
      const auto of = owned.find({module.name, kind});
      return detail::geometry_of(module, kind, 1).dim - (of == owned.end() ? 0 : of->second);
    };
    all.push_back({module.name, left(detail::transposed_kind(detail::row_kind)), left(detail::row_kind)});
  }
  return all;
}

SBORA_INSTANCE_OF std::vector<std::string> region_ledger::region_problems(const ledger_task& task,
                                                                          std::span<const owned_region> regions,
                                                                          std::span<const model_module> shapes) const {
  std::vector<std::string> problems;
  const auto find = [](auto& of, std::string_view module) {
    return std::find_if(of.begin(), of.end(), [&](const owned_region& owned) { return owned.module == module; });
  };
  for (std::size_t i = 0; i < regions.size(); ++i) {
    const owned_region& has = regions[i];
    const std::string who = "module '" + has.module + "': ";
    const std::optional<std::size_t> module = modules_.position(has.module);
    const auto owned = find(task.regions, has.module);
    if (!module || owned == task.regions.end()) {
      problems.push_back(who + "the adapter has a region that the task doesn't own");
    } else if (const model_module& of = modules()[*module]; of.d_out != shapes[i].d_out || of.d_in != shapes[i].d_in) {
      problems.push_back(detail::unlike_module(of, shapes[i].d_out, shapes[i].d_in));
    } else if (owned->kind != has.kind) {
      problems.push_back(detail::message(
          {who, "the adapter is ", to_string(has.kind), ", the task owns ", detail::region_name(owned->kind)}));
    } else {
      std::vector<index_t> others;
      std::set_symmetric_difference(owned->target.sorted().begin(), owned->target.sorted().end(),
                                    has.target.sorted().begin(), has.target.sorted().end(), std::back_inserter(others));
      if (others.empty()) continue;
      problems.push_back(who + "the adapter's " + detail::region_name(has.kind) +
                         " aren't the ones that the task owns: they differ in " + detail::few_indices(others));
    }
  }
  for (const owned_region& owned : task.regions) {
    if (find(regions, owned.module) == regions.end()) {
      problems.push_back("module '" + owned.module + "': the adapter has nothing of it");
    }
  }
  return problems;
}

SBORA_INSTANCE_OF bool region_ledger::operator==(const region_ledger& other) const noexcept {
  const auto same = [](const model_module& a, const model_module& b) {
    return a.name == b.name && a.d_out == b.d_out && a.d_in == b.d_in;
  };
  return base_ == other.base_ && crossing_ == other.crossing_ && tasks_ == other.tasks_ &&
         std::equal(modules().begin(), modules().end(), other.modules().begin(), other.modules().end(), same);
}

}  // namespace sbora::inline SBORA_ABI
