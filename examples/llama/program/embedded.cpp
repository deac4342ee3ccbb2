#include "program/embedded.hpp"

#include <algorithm>
#include <cstdio>
#include <iostream>

#include <fmt/core.h>

#include <sbora/kernels/dispatch.hpp>

#include "model/adapter_files.hpp"
#include "model/adapter_targets.hpp"
#include "program/base_model.hpp"
#include "text/byte_tokenizer.hpp"
#include "model/decoder.hpp"
#include "data/example_batches.hpp"
#include "program/fine_tune.hpp"
#include "training/fingerprint.hpp"
#include "model/generation.hpp"
#include "common/error.hpp"
#include "common/folders.hpp"
#include "common/json_file.hpp"
#include "common/memory.hpp"
#include "data/plain_rows.hpp"
#include "program/plot.hpp"
#include "program/report.hpp"

namespace llama {

namespace {

constexpr index_t generated_rows = 4000;
constexpr std::size_t questions_shown = 3;
constexpr index_t answer_tokens = 160;

/// The task's rows as tokens, and which of them are for validation.
struct task {
  explicit task(const options& set) {
    const bool generated = set.data_path.empty();
    name = generated ? "generated word problems" : set.data_path;
    rows = generated ? generated_task_rows(set.seed, generated_rows) : read_task_rows(set.data_path);
    if (set.val_set_size < 1) throw input_error("--val_set_size: the embedded cycle compares on it; 1 at least");
    split = split_data(std::ssize(rows), set.val_set_size, set.seed);
    for (const task_row& row : rows) {
      data.examples.push_back(tokenise_plain(row, byte_tokenizer(), {set.cutoff_len, set.train_on_inputs}));
    }
    check_scored(data, split);
  }

  /// A validation row, to show answers to.
  const task_row& shown(std::size_t i) const { return rows[static_cast<std::size_t>(split.validation[i])]; }
  std::size_t shown_count() const { return std::min(questions_shown, split.validation.size()); }

  std::string name;
  std::vector<task_row> rows;
  dataset data;
  data_split split;
};

std::vector<adapter_plan> plans_of(const options& set) {
  const auto plan = [&](adapter_method method, index_t rank) {
    // The same scale for every rank: with alpha fixed, half the rank would also double the update.
    const double alpha = set.lora_alpha * static_cast<double>(rank) / static_cast<double>(set.lora_r);
    return adapter_plan{
        .method = method,
        .rank = rank,
        .alpha = alpha,
        .dropout = set.lora_dropout,
        .target_modules = set.target_modules.empty() ? default_targets(embedded_config()) : set.target_modules,
        .seed = set.seed};
  };
  if (set.adapter_name == "sbora_fa") return {plan(adapter_method::sbora_fa, set.lora_r)};
  if (set.adapter_name == "sbora_fb") return {plan(adapter_method::sbora_fb, set.lora_r)};
  if (set.adapter_name == "lora") return {plan(adapter_method::lora, set.lora_r)};
  // As many trainable parameters for all three: LoRA trains both halves, SBoRA one.
  return {plan(adapter_method::sbora_fa, set.lora_r), plan(adapter_method::sbora_fb, set.lora_r),
          plan(adapter_method::lora, std::max<index_t>(1, set.lora_r / 2))};
}

class embedded_cycle {
 public:
  explicit embedded_cycle(const session& with)
      : with_(with),
        set_(with.set),
        text_(with.set),
        task_(with.set),
        plans_(plans_of(with.set)),
        training_(task_.data, task_.split.training, set_.micro_batch_size, example_batches::order::shuffled, set_.seed),
        validation_(task_.data, task_.split.validation, set_.micro_batch_size, example_batches::order::as_given),
        held_out_(text_.held_out()) {
    check_folder("--output_dir", set_.output_dir);
    model probe = model::random(embedded_config(), 1);  // options that no model takes show before pre-training
    for (const adapter_plan& plan : plans_) {
      probe.attach(plan);
      refuse_unfinished(set_, output_of(plan));
    }
    for (const adapter_plan& plan : plans_) prepare_folder("--output_dir", output_of(plan).string());
  }

  int run() {
    say(fmt::format("base text: {}, {} bytes\ntask: {}, {} rows, {} of them for validation\n", text_.name(),
                    text_.bytes(), task_.name, std::ssize(task_.rows), std::ssize(task_.split.validation)));
    say(fmt::format("instruction set {}, {} threads, {} process{}\n", sbora::to_string(sbora::active_isa()),
                    with_.pool.threads(), with_.processes.size(), with_.processes.size() == 1 ? "" : "es"));
    int signal = 0;
    base_ = make_base(text_, with_, signal);
    if (signal != 0) return stopped(signal);
    say("base model: " + base_.string() + "\n");
    measure_base();
    for (const adapter_plan& plan : plans_) {
      if ((signal = run_method(plan)) != 0) return stopped(signal);
    }
    conclude();
    return 0;
  }

 private:
  std::filesystem::path output_of(const adapter_plan& plan) const {
    return std::filesystem::path(set_.output_dir) / method_name(plan.method);
  }

  model load(const std::filesystem::path& folder) const {
    return model::load(folder, load_options_of(set_), with_.pool);
  }

  double task_loss(model& net) const { return evaluate(net, validation_, with_.pool, with_.processes).mean(); }
  double base_loss(model& net) const { return evaluate(net, held_out_, with_.pool, with_.processes).mean(); }

  /// Adapters start at zero, so all methods start from the same losses.
  void measure_base() {
    model net = load(base_);
    task_before_ = task_loss(net);
    base_before_ = base_loss(net);
  }

  int run_method(const adapter_plan& plan) {
    reset_peak();
    model net = load(base_);
    net.attach(plan);
    net.set_gradient_checkpointing(set_.use_gradient_checkpointing);
    method_result result;
    result.key = method_name(plan.method);
    result.name = name_of(plan);
    result.parameters = std::ssize(net.parameters());
    const std::filesystem::path output = output_of(plan);
    const fine_tuning job{.phase = result.name,
                          .data = training_,
                          .validation = &validation_,
                          .output = output,
                          .base_model = base_.string(),
                          .decisive = decisive_options(set_, plan, fingerprint_of(base_), fingerprint_of(task_.data))};
    const training_result trained = fine_tune(net, job, with_);
    if (trained.signal != 0) return trained.signal;
    result.optimiser_bytes = trained.optimiser_bytes;
    result.task_before = task_before_;
    result.base_before = base_before_;
    result.task_after = task_loss(net);
    result.base_after = base_loss(net);
    answers_.push_back(answers_of(net));
    save_and_reload(net, output, result);
    results_.push_back(std::move(result));
    return 0;
  }

  std::vector<std::string> answers_of(model& net) const {
    std::vector<token_ids> prompts;
    for (std::size_t i = 0; i < task_.shown_count(); ++i) {
      prompts.push_back(encode_prompt(plain_prompt(task_.shown(i)), byte_tokenizer()));
    }
    decoder generation(net, with_.pool);
    std::vector<std::string> texts;
    for (const token_ids& ids : generate(generation, prompts, answer_tokens, byte_tokenizer::end)) {
      texts.push_back(byte_tokenizer().decode(ids));
    }
    return texts;
  }

  void save_and_reload(model& net, const std::filesystem::path& output, method_result& result) {
    const std::filesystem::path merged = output / "merged";
    if (with_.processes.is_first()) {
      save_merged(net, merged);
      byte_tokenizer().save(merged);
    }
    with_.processes.max(0);  // written for all
    model again = load(base_);
    load_adapter(again, output);
    result.reload_exact = task_loss(again) == result.task_after;
    model without_adapters = load(merged);
    result.task_merged = task_loss(without_adapters);
    if (set_.bits == 16) result.merge = check_merge(net, base_, merged);
  }

  /// Medians and peaks from the metrics, which know the steps before a resume too.
  void add_measurements() {
    for (std::size_t i = 0; i < results_.size(); ++i) {
      const std::filesystem::path metrics = output_of(plans_[i]) / "metrics.jsonl";
      std::vector<double> seconds = read_curve(metrics, "seconds").values;
      if (!seconds.empty()) {
        const auto middle = seconds.begin() + std::ssize(seconds) / 2;
        std::nth_element(seconds.begin(), middle, seconds.end());
        results_[i].step_seconds = *middle;
      }
      for (const double peak : read_curve(metrics, "peak_bytes").values) {
        results_[i].peak_bytes = std::max(results_[i].peak_bytes, static_cast<std::size_t>(peak));
      }
    }
  }

  void conclude() {
    if (!with_.processes.is_first()) return;
    add_measurements();
    const std::filesystem::path folder(set_.output_dir);
    std::vector<plot_line> lines;
    for (std::size_t i = 0; i < results_.size(); ++i) {
      const curve loss = read_curve(output_of(plans_[i]) / "metrics.jsonl", "loss");
      lines.push_back({.name = results_[i].name, .x = loss.steps, .y = loss.values, .marks = false, .smooth = true});
    }
    const std::string no_plot =
        write_plot(folder / "loss.svg", "Fine-tuning", "optimiser step", "loss (nats per token)", lines);
    const std::string lines_of_results = result_lines(results_);
    write_file(folder / "results.txt", lines_of_results);
    print_answers();
    say("\n" + table(results_) + "\n" + lines_of_results);
    say("\nlosses: " + (no_plot.empty() ? (folder / "loss.svg").string() : no_plot) + "\n");
    for (const adapter_plan& plan : plans_) {
      say(fmt::format("{}: adapter in {}, merged model in {}\n", name_of(plan), output_of(plan).string(),
                      (output_of(plan) / "merged").string()));
    }
  }

  void print_answers() const {
    for (std::size_t question = 0; question < task_.shown_count(); ++question) {
      say("\nquestion: " + plain_prompt(task_.shown(question)));
      say("expected: " + plain_response(task_.shown(question)) + "\n");
      for (std::size_t i = 0; i < results_.size(); ++i) {
        say(results_[i].name + ": " + answers_[i][question] + "\n");
      }
    }
  }

  int stopped(int signal) const {
    say("stopped; go on with the same options and --resume_from_checkpoint auto\n");
    return 128 + signal;
  }

  void say(const std::string& text) const {
    if (with_.processes.is_first()) std::cout << text << std::flush;
  }

  const session& with_;
  const options& set_;
  base_text text_;
  task task_;
  std::vector<adapter_plan> plans_;
  example_batches training_, validation_;
  text_windows held_out_;
  std::filesystem::path base_;
  double task_before_ = 0, base_before_ = 0;
  std::vector<method_result> results_;
  std::vector<std::vector<std::string>> answers_;
};

}  // namespace

int run_embedded(const session& with) { return embedded_cycle(with).run(); }

}  // namespace llama
