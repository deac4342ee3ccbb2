#include "multi_task/llama_subject.hpp"

#include <algorithm>
#include <numeric>

#include <fmt/core.h>

#include "common/error.hpp"
#include "common/progress.hpp"
#include "data/example_batches.hpp"
#include "model/adapter_files.hpp"
#include "model/model_tensors.hpp"
#include "multi_task/llama_texts.hpp"
#include "multi_task/lora_update.hpp"
#include "training/trainer.hpp"

namespace multi_task {
namespace {

const std::vector<std::string> target_modules = {"q_proj", "v_proj", "up_proj", "down_proj"};
constexpr double scale = 2;  // of adapters: alpha over rank

/// A model's weights in memory, in float, so that adapters can be merged into them.
std::shared_ptr<llama::flat_tensors> in_memory(const llama::model& of) {
  const auto shapes = llama::tensors_of(of.config());
  auto flat = std::make_shared<llama::flat_tensors>(shapes);
  for (const llama::tensor_shape& each : shapes) {
    std::ranges::copy(llama::load_vector(of.source(), each.name), flat->part(each.name, flat->all()).begin());
  }
  return flat;
}

class llama_subject final : public subject {
 public:
  llama_subject(const options& set, const llama::model& base, std::shared_ptr<const llama::tokenizer> tokenizer)
      : set_(set),
        rank_(set.rank > 0 ? set.rank : 32),
        steps_(set.steps > 0 ? set.steps : 12),
        pool_(set.threads),
        texts_(load_texts(set, *tokenizer, base.config().vocab_size)),
        weights_(in_memory(base)),
        net_(base.config(), weights_, {}, pool_) {
    for (const paper_task& task : paper_tasks) names_.emplace_back(task.name);
    if (!set.results.empty()) adapters_ = set.results + ".adapters";
  }

  const std::vector<std::string>& tasks() const override { return names_; }
  index_t rank() const override { return rank_; }
  std::string settings() const override {
    return fmt::format("{}; rank {}; {} steps of {} of {} rows; learning rate {}; {} test rows; {} tokens of base text",
                       std::filesystem::path(set_.base_model).filename().string(), rank_, steps_, set_.batch_size,
                       set_.train_rows, set_.learning_rate, set_.test_rows, set_.text_tokens) +
           (set_.base_text.empty() ? "" : " of " + std::filesystem::path(set_.base_text).filename().string());
  }
  thread_pool& pool() override { return pool_; }

  void start(std::uint64_t seed) override {
    seed_ = seed;
    chosen_.clear();
    for (std::size_t task = 0; task < names_.size(); ++task) {
      std::vector<index_t> rows(texts_[task].training.examples.size());
      std::iota(rows.begin(), rows.end(), index_t{0});
      sbora::random_stream random(seed, task);
      for (index_t i = 0; i < set_.train_rows; ++i) {
        std::swap(rows[static_cast<std::size_t>(i)],
                  rows[static_cast<std::size_t>(i + random.below(std::ssize(rows) - i))]);
      }
      rows.resize(static_cast<std::size_t>(set_.train_rows));
      chosen_.push_back(std::move(rows));
    }
  }
  void finish() override {
    if (!adapters_.empty()) std::filesystem::remove_all(seed_folder());
  }

  std::vector<layer> layers() override {
    std::vector<layer> all;
    for (const llama::block& each : net_.blocks()) {
      for (const llama::projection& linear : each.linears()) {
        if (!is_adapted(linear.name())) continue;
        float* const values = weights_->part(linear.name() + ".weight", weights_->all()).data();
        all.push_back({linear.name(), {values, linear.d_out(), linear.d_in()}});
      }
    }
    return all;
  }

  adapter train(const training& what) override {
    const std::filesystem::path folder = adapters_.empty() ? "" : seed_folder() / file_name(what.name);
    if (!folder.empty() && std::filesystem::exists(folder)) load_adapter(net_, folder);
    else fit(what, folder);
    adapter made = attached(what.by);
    net_.attach({});
    return made;
  }

  score measure(std::size_t text) override {
    const llama::dataset& rows = texts_[text].held_out;
    score found{0, text < names_.size() ? std::optional(0.0) : std::nullopt};
    double tokens = 0;
    const llama::example_batches batches(rows, first_rows(rows), micro_batch, llama::example_batches::order::as_given);
    for (index_t i = 0; i < batches.micro_batches(); ++i) {
      const llama::token_batch batch = batches.micro_batch(0, i);
      std::vector<bool> answered(static_cast<std::size_t>(batch.sequences), true);
      for (const llama::token_score& each : net_.score(batch, pool_)) {
        found.loss += each.loss;
        ++tokens;
        if (!each.greedy) answered[static_cast<std::size_t>(each.sequence)] = false;
      }
      if (found.exact) *found.exact += static_cast<double>(std::ranges::count(answered, true));
    }
    found.loss /= tokens;
    if (found.exact) *found.exact /= static_cast<double>(rows.examples.size());
    return found;
  }

  std::vector<column_scores> observe(std::size_t text) override {
    constexpr std::size_t most = 32;  // rows
    std::vector<column_scores> scores;
    for (const layer& each : layers()) scores.emplace_back(each.weight.d_out(), each.weight.d_in());
    std::size_t next = 0;
    net_.attach_observers([&](const std::string& name) -> llama::linear_observer {
      if (!is_adapted(name)) return {};
      return [&own = scores[next++]](const llama::matrix& x, const llama::matrix& dy, const llama::matrix& dx,
                                     sbora::workspace& memory, thread_pool& pool) { own.add(x, dy, dx, memory, pool); };
    });
    const llama::dataset& of = texts_[text].training;
    std::vector<index_t> rows = text < names_.size() ? chosen_[text] : first_rows(of);
    rows.resize(std::min(rows.size(), most));
    const llama::example_batches batches(of, rows, micro_batch, llama::example_batches::order::as_given);
    for (index_t i = 0; i < batches.micro_batches(); ++i) net_.forward_backward(batches.micro_batch(0, i), 1.0F, pool_);
    net_.attach({});
    return scores;
  }

 private:
  static constexpr index_t micro_batch = 8;

  static bool is_adapted(const std::string& module) {
    return std::ranges::any_of(target_modules, [&](const std::string& name) { return module.ends_with("." + name); });
  }
  static std::vector<index_t> first_rows(const llama::dataset& of) {
    std::vector<index_t> rows(of.examples.size());
    std::iota(rows.begin(), rows.end(), index_t{0});
    return rows;
  }
  static std::string file_name(std::string name) {
    std::ranges::replace_if(
        name, [](char c) { return c == ' ' || c == ','; }, '_');
    return name;
  }
  std::filesystem::path seed_folder() const { return adapters_ / ("seed" + std::to_string(seed_)); }

  /// Trains an adapter and leaves it on the model, and in the folder unless that is empty.
  void fit(const training& what, const std::filesystem::path& folder) {
    const index_t rank = what.by == method::lora ? lora_rank(layers(), rank_) : rank_;
    llama::adapter_plan plan = {.method = what.by == method::fa   ? llama::adapter_method::sbora_fa
                                          : what.by == method::fb ? llama::adapter_method::sbora_fb
                                                                  : llama::adapter_method::lora,
                                .rank = rank,
                                .alpha = scale * static_cast<double>(rank),
                                .dropout = 0,
                                .target_modules = target_modules,
                                .seed = seed_ * names_.size() + what.task};
    if (what.by == method::lora) net_.attach(plan);
    else net_.attach(plan, what.on);
    const llama::example_batches data(texts_[what.task].training, chosen_[what.task], set_.batch_size,
                                      llama::example_batches::order::shuffled, seed_ * names_.size() + what.task);
    const llama::training_plan steps = {
        .phase = fmt::format("seed {}: {}", seed_, what.name),
        .steps = {.micro_batches = data.micro_batches(), .accumulation = 1, .epochs = 1, .max_steps = steps_},
        .learning_rate = set_.learning_rate,
        .warmup_steps = steps_ / 10,
        .weight_decay = 0,
        .max_grad_norm = 1,
        .eval_step = 0,
        .save_step = 0,
        .load_best = false,
        .options = {}};
    if (llama::train(net_, steps, {.data = data}, nullptr, pool_, processes_).signal != 0) throw stopped();
    if (folder.empty()) return;
    const std::filesystem::path unfinished = folder.string() + ".unfinished";
    std::filesystem::remove_all(unfinished);
    std::filesystem::create_directories(unfinished);
    save_adapter(net_, unfinished, llama::adapter_format::official, set_.base_model);
    std::filesystem::rename(unfinished, folder);  // whole or not at all
  }

  /// What is on the model.
  adapter attached(method by) {
    if (by != method::lora) return adapter_of(net_);
    const std::vector<llama::adapter_slot>& slots = net_.adapters();
    return lora_update(layers(), net_.plan().rank, static_cast<float>(scale),
                       [&](std::size_t i) { return std::pair(slots[i].a.data(), slots[i].b.data()); });
  }

  options set_;
  index_t rank_, steps_;
  thread_pool pool_;
  llama::communicator processes_;
  std::vector<std::string> names_;
  std::vector<llama_text> texts_;
  std::shared_ptr<llama::flat_tensors> weights_;
  llama::model net_;
  std::filesystem::path adapters_;  ///< empty: none are kept
  std::uint64_t seed_ = 0;
  std::vector<std::vector<index_t>> chosen_;  ///< training rows of each task
};

}  // namespace

std::unique_ptr<subject> make_llama_subject(const options& set) {
  sbora::thread_pool pool(set.threads);
  const llama::model base = llama::model::load(set.base_model, {}, pool);
  return make_llama_subject(set, base, llama::make_tokenizer(set.base_model));
}

std::unique_ptr<subject> make_llama_subject(const options& set, const llama::model& base,
                                            std::shared_ptr<const llama::tokenizer> tokenizer) {
  return std::make_unique<llama_subject>(set, base, std::move(tokenizer));
}

}  // namespace multi_task
