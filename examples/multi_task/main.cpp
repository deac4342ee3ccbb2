// multi_task: four tasks in one small model, alone, together and one after the other, with SBoRA on regions of their
// own and on overlapping ones, and with LoRA; and how columns can be chosen. Tables of held-out losses.

#include <exception>
#include <optional>

#include <sbora/model/instances.hpp>

#include "byte_lm/base_model.hpp"
#include "common/option_checks.hpp"
#include "scoring.hpp"
#include "table.hpp"

namespace multi_task {

namespace {

using adapters = std::vector<sbora::model_adapter<float>>;

std::optional<options> parse_options(int argc, char** argv) {
  options result;
  CLI::App app("Four tasks in one byte-level model of 512 x 512 layers: tables of held-out losses, nats a byte.");
  app.name("multi_task");
  app.option_defaults()->always_capture_default();
  const auto number = [&](const char* name, auto& into, const char* what, double most) {
    app.add_option(name, into, what)->type_name("N")->check(examples::between(1, most));
  };
  number("--seeds", result.seeds, "runs, of which mean and deviation are printed", 100);
  number("--rank", result.rank, "columns or rows of a task in each layer", 128);
  number("--steps", result.steps, "optimiser steps of a task", 1e6);
  number("--base-steps", result.base_steps, "optimiser steps of the base model", 1e6);
  number("--threads", result.threads, "threads; results don't depend on it", 256);
  if (!examples::parse_or_help(app, [&] { app.parse(argc, argv); })) return std::nullopt;
  return result;
}

/// Regions of the tasks: disjoint, or each drawn for itself.
std::vector<regions> draw_regions(const setting& with, bool disjoint) {
  std::vector<regions> drawn;
  const std::vector<index_t> ranks(task_count, with.set.rank);
  const auto first = sbora::partition_regions(width, ranks, with.seed * 2),
             second = sbora::partition_regions(width, ranks, with.seed * 2 + 1);
  for (std::size_t task = 0; task < task_count; ++task) {
    const std::uint64_t own = 1000 * with.seed + 2 * task;
    drawn.push_back(disjoint ? regions{first[task], second[task]}
                             : regions{sbora::sample_region(width, with.set.rank, own),
                                       sbora::sample_region(width, with.set.rank, own + 1)});
  }
  return drawn;
}

template <sbora::adapter_kind Kind>
adapters train_all(setting& with, const std::vector<regions>& on) {
  adapters trained;
  for (std::size_t task = 0; task < task_count; ++task) trained.push_back(train_sbora<Kind>(with, task, on[task]));
  return trained;
}

/// Each task's loss with its own adapter alone, and the mean of the base text's.
losses alone(setting& with, const adapters& trained) {
  losses found{};
  for (std::size_t task = 0; task < task_count; ++task) {
    const losses all = with_merged(with, {&trained[task]}, [&] { return measure(with); });
    found.of_task[task] = all.of_task[task];
    found.of_base += all.of_base / task_count;
  }
  return found;
}

losses combined(setting& with, const adapters& trained, const sbora::combine_options& by) {
  std::vector<sbora::weighted_adapter<float>> weighted;
  for (const auto& adapter : trained) weighted.push_back({&adapter, 1});
  const auto one = combine(weighted, by);
  return with_merged(with, {&one}, [&] { return measure(with); });
}

/// Elements of the weights that are not what the base and the one task that owns them make of them.
double disturbed(setting& with, const adapters& trained) {
  const std::array before = {with.base.values(0), with.base.values(1)};
  std::vector<std::array<matrix, 2>> each;
  const auto values = [&] { return std::array{with.base.values(0), with.base.values(1)}; };
  for (const auto& adapter : trained) each.push_back(with_merged(with, {&adapter}, values));
  std::vector<const sbora::model_adapter<float>*> all;
  for (const auto& adapter : trained) all.push_back(&adapter);
  const auto together = with_merged(with, all, values);
  double count = 0;
  for (std::size_t layer = 0; layer < 2; ++layer) {
    for (index_t i = 0; i < together[layer].size(); ++i) {
      const float now = together[layer].data()[i];
      bool expected = std::memcmp(&now, before[layer].data() + i, sizeof now) == 0;
      for (const auto& one : each) expected = expected || std::memcmp(&now, one[layer].data() + i, sizeof now) == 0;
      count += expected ? 0 : 1;
    }
  }
  return count;
}

/// Trained one after the other, each over what was merged before; all merged at the end.
template <class Train>
losses in_sequence(setting& with, const Train& train) {
  adapters trained;
  std::vector<const sbora::model_adapter<float>*> merged;
  trained.reserve(task_count);
  for (std::size_t task = 0; task < task_count; ++task) {
    const auto add = [&] {
      trained.push_back(train(task));
      return 0;
    };
    with_merged(with, merged, add);
    merged.push_back(&trained.back());
  }
  return with_merged(with, merged, [&] { return measure(with); });
}

struct tables {
  table alone{"Each task alone", loss_columns()};
  table together{"All four in one model", loss_columns()};
  table sequence{"One after the other, on a model with the earlier ones merged", loss_columns()};
  table exact{"Elements that another task's update disturbs, of 524288", {"disjoint FA", "disjoint FB"}};
  table policies{"Columns chosen by scores: task 'sums'", {"task", "base text"}};

  void print() const {
    for (const table* one : {&alone, &together, &sequence, &exact, &policies}) one->print();
  }
};

void run_seed(setting& with, tables& out) {
  using enum sbora::combination;
  const auto apart = draw_regions(with, true), mixed = draw_regions(with, false);
  const adapters fa = train_all<sbora::adapter_kind::fa>(with, apart),
                 fb = train_all<sbora::adapter_kind::fb>(with, apart),
                 overlapping = train_all<sbora::adapter_kind::fa>(with, mixed);
  adapters lora;
  for (std::size_t task = 0; task < task_count; ++task) lora.push_back(train_lora(with, task));

  out.alone.add("base model", measure(with));
  out.alone.add("SBoRA-FA", alone(with, fa));
  out.alone.add("SBoRA-FB", alone(with, fb));
  out.alone.add("LoRA of as many parameters", alone(with, lora));

  out.together.add("FA, disjoint", combined(with, fa, {.method = cat}));
  out.together.add("FB, disjoint", combined(with, fb, {.method = cat}));
  const std::pair<const char*, sbora::combine_options> methods[] = {
      {"sum", {.method = linear}},
      {"TIES, density 0.5", {.method = ties, .density = 0.5}},
      {"DARE, density 0.5", {.method = dare_linear, .density = 0.5, .seed = with.seed}}};
  for (const auto& [name, by] : methods) {
    out.together.add(std::string("FA, overlapping: ") + name, combined(with, overlapping, by));
    out.together.add(std::string("LoRA: ") + name, combined(with, lora, by));
  }
  out.exact.add("elements", std::vector<double>{disturbed(with, fa), disturbed(with, fb)});

  out.sequence.add("FA, disjoint", in_sequence(with, [&](std::size_t task) {
                     return train_sbora<sbora::adapter_kind::fa>(with, task, apart[task]);
                   }));
  out.sequence.add("FB, disjoint", in_sequence(with, [&](std::size_t task) {
                     return train_sbora<sbora::adapter_kind::fb>(with, task, apart[task]);
                   }));

  for (const auto& [name, on] : chosen_regions(with, 0)) {
    const auto adapter = train_sbora<sbora::adapter_kind::fa>(with, 0, on);
    const losses found = with_merged(with, {&adapter}, [&] { return measure(with); });
    out.policies.add(name, std::vector<double>{found.of_task[0], found.of_base});
  }
}

void run(const options& set) {
  thread_pool pool(set.threads);
  tables out;
  for (index_t seed = 1; seed <= set.seeds; ++seed) {
    const auto number = static_cast<std::uint64_t>(seed);
    const corpus base_text("base text", word_problems::base_text(number));
    const auto tasks = make_tasks(number);
    byte_lm::options of_base;
    of_base.seed = number;
    of_base.base_steps = set.base_steps;
    std::vector<byte_lm::loss_record> log;
    std::vector<float> parameters = byte_lm::make_base(of_base, base_text, pool, log);
    setting with{set, number, dense_base(model_view(parameters)), base_text, tasks, pool};
    run_seed(with, out);
    std::fprintf(stderr, "seed %td of %td done\n", seed, set.seeds);
  }
  out.print();
}

}  // namespace

}  // namespace multi_task

int main(int argc, char** argv) {
  try {
    if (const auto set = multi_task::parse_options(argc, argv)) multi_task::run(*set);
    return 0;
  } catch (const examples::input_error& error) {
    std::fprintf(stderr, "multi_task: %s\n", error.what());
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "multi_task: %s\n", error.what());
    return 1;
  }
}
