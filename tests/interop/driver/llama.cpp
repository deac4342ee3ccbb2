// The fine-tuner's model (examples/llama): logits, gradients, and a training run.

#include <cstdio>
#include <fstream>

#include <nlohmann/json.hpp>

#include <sbora/sbora.hpp>

#include "data/batch_source.hpp"
#include "commands.hpp"
#include "files.hpp"
#include "training/metrics.hpp"
#include "model/model.hpp"
#include "training/trainer.hpp"

namespace interop {
namespace {

using nlohmann::json;
using sbora::index_t;
using std::filesystem::path;

json read_json(const path& file) { return json::parse(std::ifstream(file)); }

llama::token_batch batch_of(const json& described) {
  return {described.at("sequences"), described.at("length"), described.at("tokens"), described.at("labels"),
          described.at("mask")};
}

llama::adapter_plan plan_of(const json& described) {
  const std::string method = described.at("method");
  llama::adapter_plan plan;
  plan.method = method == "fa"   ? llama::adapter_method::sbora_fa
                : method == "fb" ? llama::adapter_method::sbora_fb
                                 : llama::adapter_method::lora;
  plan.rank = described.at("rank");
  plan.alpha = described.at("alpha");
  plan.dropout = 0;
  plan.target_modules = described.at("target_modules");
  plan.seed = described.at("seed");
  return plan;
}

/// The model of MODEL, with PLAN's adapters and, where named, their parameters.
llama::model adapted_model(const path& model, const path& plan, sbora::thread_pool& pool, const path& parameters = {}) {
  auto loaded = llama::model::load(model, {}, pool);
  loaded.attach(plan_of(read_json(plan)));
  if (!parameters.empty()) {
    const auto values = read_values<float>(parameters);
    const auto into = loaded.parameters();
    if (values.size() != into.size()) throw std::runtime_error("another number of parameters");
    std::copy(values.begin(), values.end(), into.begin());
  }
  return loaded;
}

/// MODEL BATCH OUT
void logits(arguments words) {
  sbora::thread_pool pool(2);
  auto model = llama::model::load(words[0], {}, pool);
  const llama::matrix values = model.logits(batch_of(read_json(words[1])), pool);
  write_values<float>(words[2], {values.data(), static_cast<std::size_t>(values.size())});
}

/// MODEL PLAN PARAMETERS: writes the initial parameters; prints where they belong.
void attach(arguments words) {
  sbora::thread_pool pool(1);
  auto model = adapted_model(words[0], words[1], pool);
  write_values<float>(words[2], model.parameters());
  json slots = json::array();
  for (const llama::adapter_slot& slot : model.adapters()) {
    slots.push_back({{"module", slot.module},
                     {"offset", slot.offset},
                     {"d_out", slot.d_out},
                     {"d_in", slot.d_in},
                     {"rank", slot.rank},
                     {"a", slot.a.size()},
                     {"b", slot.b.size()}});
    if (slot.target != nullptr) slots.back()["indices"] = slot.target->indices();
  }
  std::printf("%s\n", slots.dump().c_str());
}

/// MODEL PLAN PARAMETERS BATCH OUT [checkpointing]: the gradient of the mean loss, which is printed.
void gradients(arguments words) {
  sbora::thread_pool pool(2);
  auto model = adapted_model(words[0], words[1], pool, words[2]);
  model.set_gradient_checkpointing(words.size() > 5);
  const llama::token_batch batch = batch_of(read_json(words[3]));
  model.zero_gradient();
  const llama::loss_sum evaluated = model.evaluate(batch, pool);
  const llama::loss_sum loss = model.forward_backward(batch, 1.0F / static_cast<float>(evaluated.count), pool);
  write_values<float>(words[4], model.gradient());
  std::printf("%s\n",
              json({{"loss", loss.mean()}, {"evaluated", evaluated.mean()}, {"count", loss.count}}).dump().c_str());
}

/// Micro-batches as they are given.
struct listed_source final : llama::batch_source {
  explicit listed_source(const json& given) {
    for (const json& each : given) batches.push_back(batch_of(each));
  }
  index_t micro_batches() const override { return std::ssize(batches); }
  llama::token_batch micro_batch(index_t, index_t index) const override {
    return batches[static_cast<std::size_t>(index)];
  }
  std::vector<llama::token_batch> batches;
};

/// MODEL PLAN PARAMETERS RUN OUT: the fine-tuner's training of RUN's batches; prints every step's loss and gradient
/// norm (no loss where nothing was scored), and the validation loss after the last.
void train(arguments words) {
  sbora::thread_pool pool(2);
  auto model = adapted_model(words[0], words[1], pool, words[2]);
  const json run = read_json(words[3]);
  const listed_source data(run.at("batches")), validation(run.at("validation"));
  const path metrics_path = words[4] + ".jsonl";
  llama::metrics_file metrics(metrics_path, 0);
  const llama::training_plan plan{.phase = "interop",
                                  .steps = {.micro_batches = data.micro_batches(),
                                            .accumulation = run.at("accumulation"),
                                            .epochs = run.at("epochs"),
                                            .max_steps = 0},
                                  .learning_rate = run.at("learning_rate"),
                                  .warmup_steps = run.at("warmup"),
                                  .weight_decay = run.at("weight_decay"),
                                  .max_grad_norm = run.at("max_norm"),
                                  .eval_step = 0,
                                  .save_step = 0,
                                  .load_best = false,
                                  .options = {}};
  const llama::communicator alone;
  llama::train(model, plan, {.data = data, .metrics = &metrics}, nullptr, pool, alone);
  const double evaluated = llama::evaluate(model, validation, pool, alone).mean();
  write_values<float>(words[4], model.parameters());
  std::printf("%s\n", json({{"losses", llama::read_curve(metrics_path, "loss").values},
                            {"norms", llama::read_curve(metrics_path, "grad_norm").values},
                            {"eval_loss", evaluated}})
                          .dump()
                          .c_str());
}

/// MODEL OUT: the model as it is saved.
void save(arguments words) {
  sbora::thread_pool pool(1);
  llama::model::load(words[0], {}, pool).save(words[1]);
}

/// MODEL: a line for each thing in its files that users are told of.
void notes(arguments words) {
  sbora::thread_pool pool(1);
  const auto model = llama::model::load(words[0], {}, pool);
  for (const std::string& note : model.notes()) std::printf("%s\n", note.c_str());
}

}  // namespace

void add_llama_commands(command_table& table) {
  table["llama-logits"] = logits;
  table["llama-attach"] = attach;
  table["llama-gradients"] = gradients;
  table["llama-train"] = train;
  table["llama-notes"] = notes;
  table["llama-save"] = save;
}

}  // namespace interop
