#include "multi_task/questions.hpp"

#include <algorithm>
#include <cstdio>
#include <functional>
#include <map>
#include <memory>

#include <fmt/core.h>

#include <sbora/model/combine.hpp>
#include <sbora/model/region_ledger.hpp>
#include <sbora/regions/sample.hpp>

#include "multi_task/merged_weights.hpp"

namespace multi_task {
namespace {

using sbora::adapter_kind;

std::string kind_name(adapter_kind kind) { return kind == adapter_kind::fa ? "FA" : "FB"; }

/// An adapter for each task, all trained in one way, each when it is first asked for.
class adapters {
 public:
  adapters(std::string name, method by, std::vector<regions> on, subject& of)
      : name_(std::move(name)), by_(by), on_(std::move(on)), subject_(of), trained_(of.tasks().size()) {}

  const std::string& name() const { return name_; }
  const adapter& operator[](std::size_t task) {
    std::unique_ptr<adapter>& own = trained_[task];
    if (!own) own = std::make_unique<adapter>(subject_.train(training_of(task, name_)));
    return *own;
  }
  std::vector<const adapter*> all() {
    std::vector<const adapter*> each;
    for (std::size_t task = 0; task < trained_.size(); ++task) each.push_back(&(*this)[task]);
    return each;
  }
  /// Another one for the same task and region, on other weights.
  adapter train_again(std::size_t task, const std::string& name) { return subject_.train(training_of(task, name)); }

 private:
  training training_of(std::size_t task, const std::string& name) const {
    return {name + ", " + subject_.tasks()[task], by_, task, on_.empty() ? regions{} : on_[task]};
  }

  std::string name_;
  method by_;
  std::vector<regions> on_;  ///< by task; none: LoRA
  subject& subject_;
  std::vector<std::unique_ptr<adapter>> trained_;
};

class one_seed {
 public:
  one_seed(subject& of, results& answers, std::uint64_t seed)
      : subject_(of),
        results_(answers),
        seed_(seed),
        layers_(of.layers()),
        weights_(layers_, of.pool()),
        tasks_(of.tasks().size()) {}

  void ask_all() {
    base();
    for (const adapter_kind kind : {adapter_kind::fa, adapter_kind::fb}) on_disjoint_regions(kind);
    on_overlapping_regions();
    with_lora();
    with_chosen_columns();
  }

 private:
  /// Of a question's table; what is measured for it.
  struct cell {
    std::string question, row, column;
    std::size_t text;
  };
  using merged = std::vector<const adapter*>;

  const std::string& task_name(std::size_t task) const { return subject_.tasks()[task]; }
  std::string text_name(std::size_t text) const { return text == tasks_ ? base_text_name : task_name(text); }

  /// Fills the cells, each text measured once, with the adapters of `those` merged; nothing where they are full.
  void measure(const std::vector<cell>& cells, const std::function<merged()>& those) {
    const bool done = std::ranges::all_of(
        cells, [&](const cell& each) { return results_.has(seed_, each.question, each.row, each.column); });
    if (done) return;
    weights_.with(those(), [&] {
      std::map<std::size_t, score> scores;
      std::vector<result> found;
      for (const auto& [question, row, column, text] : cells) {
        if (!scores.contains(text)) scores.emplace(text, subject_.measure(text));
        const score& of = scores.at(text);
        found.push_back({seed_, question, row, column, "loss", of.loss});
        if (of.exact) found.push_back({seed_, question, row, column, "exact", *of.exact});
      }
      results_.add(found);
    });
    std::fprintf(stderr, "seed %ju: %s, %s\n", static_cast<std::uintmax_t>(seed_), cells.front().question.c_str(),
                 cells.front().row.c_str());
  }

  /// A row of all texts.
  std::vector<cell> row_of(const char* question, const std::string& row, std::size_t tasks) const {
    std::vector<cell> cells;
    for (std::size_t task = 0; task < tasks; ++task) cells.push_back({question, row, task_name(task), task});
    cells.push_back({question, row, base_text_name, tasks_});
    return cells;
  }

  void count(const std::string& row, index_t elements) {
    results_.add({{seed_, interference_question, row, "elements", "elements", static_cast<double>(elements)}});
  }
  bool has_count(const std::string& row) const { return results_.has(seed_, interference_question, row, "elements"); }

  // ---- the questions -----------------------------------------------------------------------------------

  void base() {
    std::vector<cell> cells = row_of(together_question, "base model", tasks_);
    for (std::size_t task = 0; task < tasks_; ++task) {
      cells.push_back({alone_question, "base model", task_name(task), task});
      cells.push_back({forgetting_question, "base model", task_name(task), tasks_});
    }
    measure(cells, [] { return merged(); });
  }

  void alone(adapters& of, const std::string& row) {
    for (std::size_t task = 0; task < tasks_; ++task) {
      measure({{alone_question, row, task_name(task), task}, {forgetting_question, row, task_name(task), tasks_}},
              [&] { return merged{&of[task]}; });
    }
  }

  void combined(adapters& of, const std::string& how, const sbora::combine_options& by) {
    std::optional<adapter> one;
    measure(row_of(together_question, of.name() + ": " + how, tasks_), [&] {
      std::vector<sbora::weighted_adapter<float>> weighted;
      for (const adapter* each : of.all()) weighted.push_back({each, 1});
      one.emplace(combine(weighted, by));
      return merged{&*one};
    });
  }
  void combined_in_all_ways(adapters& of) {
    using enum sbora::combination;
    combined(of, "sum", {.method = linear});
    combined(of, "TIES", {.method = ties, .density = 0.5});
    combined(of, "DARE", {.method = dare_linear, .density = 0.5, .seed = seed_});
  }

  void on_disjoint_regions(adapter_kind kind) {
    const std::string name = kind_name(kind);
    adapters of(name + " disjoint", kind == adapter_kind::fa ? method::fa : method::fb, claimed_regions(kind),
                subject_);
    alone(of, "SBoRA-" + name);
    measure(row_of(together_question, of.name(), tasks_), [&] { return of.all(); });
    const std::string disturbed = name + ": changed by another task", left = name + ": changed once all are taken out";
    if (!has_count(disturbed) || !has_count(left)) {
      const auto found = weights_.measure(of.all());
      count("all elements of the layers", found.elements);
      count(disturbed, found.disturbed);
      count(left, found.left);
    }
    in_sequence(of, name);
  }

  /// Each is trained over what was merged before; then the last one is taken out again.
  void in_sequence(adapters& of, const std::string& name) {
    const std::string left = name + " in sequence: changed once the last is taken out";
    if (has_count(left)) return;
    std::vector<std::unique_ptr<adapter>> own;  // the first is as when it is alone
    merged before = {&of[0]};
    const auto ask = [&](std::size_t task) {
      const std::string row = fmt::format("{} after {}", name, task_name(task));
      measure(row_of(sequence_question, row, task + 1), [&] { return before; });
    };
    ask(0);
    for (std::size_t task = 1; task < tasks_; ++task) {
      weights_.with(before,
                    [&] { own.push_back(std::make_unique<adapter>(of.train_again(task, name + " in sequence"))); });
      before.push_back(own.back().get());
      ask(task);
    }
    const merged earlier(before.begin(), before.end() - 1);
    std::vector<merged_weights::matrix> without;
    weights_.with(earlier, [&] { without = weights_.copy(); });
    weights_.without_the_last(before, [&] { count(left, weights_.different(without)); });
  }

  void on_overlapping_regions() {
    std::vector<regions> own(tasks_);
    for (std::size_t task = 0; task < tasks_; ++task) {
      for (std::size_t i = 0; i < layers_.size(); ++i) {
        const std::uint64_t drawn = 1000 * seed_ + task * layers_.size() + i;
        own[task].push_back(sbora::sample_region(layers_[i].weight.d_in(), subject_.rank(), drawn));
      }
    }
    adapters of("FA overlapping", method::fa, std::move(own), subject_);
    combined_in_all_ways(of);
    const std::string shared = "FA overlapping: changed by several tasks";
    if (!has_count(shared)) count(shared, shared_elements(layers_, of.all()));
  }

  void with_lora() {
    adapters of("LoRA", method::lora, {}, subject_);
    alone(of, "LoRA of as many parameters");
    combined_in_all_ways(of);
  }

  void with_chosen_columns() {
    constexpr std::size_t task = 0;
    const bool done = results_.has(seed_, columns_question, "TF-IDF of use", base_text_name);  // the last one
    if (done) return;
    const auto chosen =
        chosen_columns(layers_, subject_.observe(task), subject_.observe(tasks_), subject_.rank(), seed_);
    for (const auto& [policy, columns] : chosen) {
      adapters of("FA by " + policy, method::fa, {columns}, subject_);
      measure({{columns_question, policy, task_name(task), task}, {columns_question, policy, base_text_name, tasks_}},
              [&] { return merged{&of[task]}; });
    }
  }

  /// Regions that the tasks claim of a ledger, one after the other.
  std::vector<regions> claimed_regions(adapter_kind kind) const {
    std::vector<sbora::model_module> modules;
    std::vector<sbora::region_request> requests;
    for (const layer& each : layers_) {
      modules.push_back({each.name, each.weight.d_out(), each.weight.d_in()});
      requests.push_back({each.name, kind, subject_.rank()});
    }
    sbora::region_ledger ledger(modules, seed_);
    std::vector<regions> claimed(tasks_);
    for (std::size_t task = 0; task < tasks_; ++task) {
      ledger.claim(task_name(task), requests, sbora::uniform_among_free(seed_ * tasks_ + task));
      for (const layer& each : layers_) claimed[task].push_back(ledger.target(task_name(task), each.name));
    }
    return claimed;
  }

  subject& subject_;
  results& results_;
  std::uint64_t seed_;
  std::vector<layer> layers_;
  merged_weights weights_;
  std::size_t tasks_;
};

}  // namespace

void ask_all(subject& of, results& answers, std::uint64_t seed) {
  if (answers.has(seed, done_question, "all", "all")) return;
  of.start(seed);
  one_seed(of, answers, seed).ask_all();
  answers.add({{seed, done_question, "all", "all", "done", 1}});
  of.finish();
  std::fprintf(stderr, "seed %ju is done\n", static_cast<std::uintmax_t>(seed));
}

}  // namespace multi_task
