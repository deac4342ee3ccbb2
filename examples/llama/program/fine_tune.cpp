#include "program/fine_tune.hpp"

#include <algorithm>
#include <cstdio>

#include <fmt/core.h>

#include "model/adapter_files.hpp"
#include "model/adapter_targets.hpp"
#include "common/error.hpp"
#include "common/json_file.hpp"
#include "program/model_card.hpp"
#include "program/plot.hpp"
#include "program/report.hpp"

namespace llama {

namespace {

constexpr const char* metrics_name = "metrics.jsonl";

/// Returns whether loss.svg is there now.
bool write_loss_plot(const fine_tuning& job) {
  const auto path = job.output / metrics_name;
  const curve loss = read_curve(path, "loss");
  const curve validation = read_curve(path, "eval_loss");
  std::vector<plot_line> lines = {
      {.name = "training", .x = loss.steps, .y = loss.values, .marks = false, .smooth = true}};
  if (!validation.steps.empty()) {
    lines.push_back({.name = "validation", .x = validation.steps, .y = validation.values, .marks = true});
  }
  const std::string no_plot =
      write_plot(job.output / "loss.svg", job.phase, "optimiser step", "loss (nats per token)", lines);
  if (!no_plot.empty()) std::fprintf(stderr, "%s\n", no_plot.c_str());
  return no_plot.empty();
}

void save(const model& net, const fine_tuning& job, bool has_plot) {
  save_adapter(net, job.output, adapter_format::official, job.base_model);
  const bool has_peft = net.plan().method != adapter_method::lora;  // a LoRA is PEFT's as it is
  if (has_peft) save_adapter(net, job.output / "peft", adapter_format::peft, job.base_model);
  write_model_card(job.output, {.title = name_of(net.plan()),
                                .base_model = job.base_model,
                                .options = job.decisive,
                                .loss = read_curve(job.output / metrics_name, "loss"),
                                .validation = read_curve(job.output / metrics_name, "eval_loss"),
                                .has_plot = has_plot,
                                .has_peft = has_peft});
}

/// The state to go on from, or nothing.
std::optional<run_state> resumed_state(model& net, const fine_tuning& job, const checkpoint_folder& folder,
                                       const std::string& wanted) {
  std::filesystem::path file = wanted;
  if (wanted == "auto") file = folder.latest().value_or("");
  if (file.empty()) return std::nullopt;
  return folder.load(file, job.decisive, net.parameters().size());
}

}  // namespace

load_options load_options_of(const options& set) {
  load_options how;
  how.bits = set.bits;
  how.four_bit = set.quant_type == "fp4" ? sbora::four_bit_type::fp4 : sbora::four_bit_type::nf4;
  how.double_quant = set.double_quant;
  how.bf16 = set.bf16;
  return how;
}

training_plan training_plan_of(const options& set, const fine_tuning& job) {
  return {.phase = job.phase,
          .steps = {.micro_batches = job.data.micro_batches(),
                    .accumulation = set.accumulation(),
                    .epochs = set.num_epochs,
                    .max_steps = set.max_steps},
          .learning_rate = set.learning_rate,
          .warmup_steps = set.warmup_steps,
          .weight_decay = set.weight_decay,
          .max_grad_norm = set.max_grad_norm,
          .eval_step = set.eval_step,
          .patience = set.early_stopping_patience,
          .save_step = set.save_step,
          .load_best = set.load_best_model_at_end && job.validation != nullptr,
          .options = job.decisive};
}

void refuse_unfinished(const options& set, const std::filesystem::path& output) {
  if (!set.resume_from_checkpoint.empty()) return;
  if (const auto left = checkpoint_folder(output).unfinished()) {
    throw input_error(left->string() +
                      " is of a run that was stopped; go on with --resume_from_checkpoint auto, "
                      "or remove it, or name another --output_dir");
  }
}

training_result fine_tune(model& net, const fine_tuning& job, const session& with) {
  const checkpoint_folder folder(job.output, with.set.save_total_limit);
  const std::optional<run_state> resumed = resumed_state(net, job, folder, with.set.resume_from_checkpoint);
  with.processes.max(0);  // all have looked
  std::optional<metrics_file> metrics;
  if (with.processes.is_first()) {
    folder.remove_leftovers();
    if (!resumed) folder.clear();
    metrics.emplace(job.output / metrics_name, resumed ? resumed->step : 0);
  }
  const training_plan plan = training_plan_of(with.set, job);
  const training_result result = train(net, plan, {job.data, job.validation, &folder, metrics ? &*metrics : nullptr},
                                       resumed ? &*resumed : nullptr, with.pool, with.processes);
  if (with.processes.is_first()) {
    const bool has_plot = write_loss_plot(job);
    if (result.signal == 0) save(net, job, has_plot);
  }
  return result;
}

run_options decisive_options(const options& set, const adapter_plan& plan, const std::string& base_fingerprint,
                             const std::string& data_fingerprint) {
  std::string modules;
  for (const std::string& name : plan.target_modules) modules += (modules.empty() ? "" : ",") + name;
  const auto whole = [](index_t value) { return std::to_string(value); };
  const auto yes = [](bool value) { return std::string(value ? "true" : "false"); };
  run_options decisive = {{"the content of --base_model", base_fingerprint},
                          {"the tokens of --data_path", data_fingerprint},
                          {"--adapter_name", method_name(plan.method)},
                          {"--lora_r", whole(plan.rank)},
                          {"--lora_alpha", fmt::format("{}", plan.alpha)},
                          {"--lora_dropout", fmt::format("{}", plan.dropout)},
                          {"--target_modules", modules},
                          {"--batch_size", whole(set.batch_size)},
                          {"--micro_batch_size", whole(set.micro_batch_size)},
                          {"--learning_rate", fmt::format("{}", set.learning_rate)},
                          {"--weight_decay", fmt::format("{}", set.weight_decay)},
                          {"--warmup_steps", whole(set.warmup_steps)},
                          {"--max_grad_norm", fmt::format("{}", set.max_grad_norm)},
                          {"--cutoff_len", whole(set.cutoff_len)},
                          {"--val_set_size", whole(set.val_set_size)},
                          {"--train_on_inputs", yes(set.train_on_inputs)},
                          {"--eval_step", whole(set.eval_step)},
                          {"--load_best_model_at_end", yes(set.load_best_model_at_end)},
                          {"--seed", std::to_string(set.seed)},
                          {"--bits", std::to_string(set.bits)}};
  // What is off isn't among them, so that checkpoints of versions without it fit.
  if (set.early_stopping_patience > 0) decisive["--early_stopping_patience"] = whole(set.early_stopping_patience);
  if (set.bf16) decisive["--bf16"] = yes(true);
  if (set.max_steps > 0) {
    decisive["--max_steps"] = whole(set.max_steps);
  } else {
    decisive["--num_epochs"] = whole(set.num_epochs);
  }
  if (set.bits == 4) {
    decisive["--quant_type"] = set.quant_type;
    decisive["--double_quant"] = yes(set.double_quant);
  }
  return decisive;
}

}  // namespace llama
