#include "program/run.hpp"

#include <algorithm>
#include <cmath>
#include <iostream>
#include <numeric>

#include <fmt/core.h>

#include <sbora/kernels/dispatch.hpp>

#include "model/adapter_targets.hpp"
#include "model/decoder.hpp"
#include "data/evaluation.hpp"
#include "data/example_batches.hpp"
#include "data/sample_answers.hpp"
#include "program/fine_tune.hpp"
#include "training/fingerprint.hpp"
#include "model/generation.hpp"
#include "common/error.hpp"
#include "common/folders.hpp"
#include "common/json_file.hpp"
#include "common/memory.hpp"
#include "common/progress.hpp"
#include "program/report.hpp"

namespace llama {

namespace {

adapter_plan plan_of(const options& set, const model_config& config) {
  const auto method = set.adapter_name == "lora"       ? adapter_method::lora
                      : set.adapter_name == "sbora_fb" ? adapter_method::sbora_fb
                                                       : adapter_method::sbora_fa;
  return {.method = method,
          .rank = set.lora_r,
          .alpha = set.lora_alpha,
          .dropout = set.lora_dropout,
          .rslora = false,
          .target_modules = set.target_modules.empty() ? default_targets(config) : set.target_modules,
          .seed = set.seed};
}

/// Questions that are answered side by side: 32, less where the keys and values of 1000 tokens each would take 2 GiB,
/// but 8 at least.
index_t answers_at_once(const model_config& config) {
  const index_t floats = 2 * config.num_hidden_layers * config.key_value_size() * 1000;
  return std::clamp<index_t>((index_t{1} << 29) / floats, 8, 32);
}

/// f() of the files of --base_model: whatever is wrong with one, the error ends with what such a folder has.
template <class Function>
auto of_base_model(Function&& f) {
  try {
    return f();
  } catch (const input_error& error) {
    throw input_error(std::string(error.what()) +
                      "; give a --base_model as transformers saves it, with config.json, weights and tokenizer, or a "
                      "GGUF file");
  }
}

/// One fine-tuning from the checkpoint to the evaluated adapter.
class fine_tuning_run {
 public:
  explicit fine_tuning_run(const session& with)
      : with_(with), set_(with.set), config_(of_base_model([&] { return read_base_config(with.set.base_model); })) {
    check_folder("--output_dir", set_.output_dir);
    refuse_unfinished(set_, set_.output_dir);
    check_before_work();
    for (const std::string& file : set_.eval_files) add_test(read_test_file(file));
    tokenizer_ = of_base_model([&] { return make_tokenizer(set_.base_model); });
    data_ = load(set_.data_path);
    for (const std::string& file : set_.loss_files) add_loss_file(file);
    split_ = split_data(std::ssize(data_.examples), set_.val_set_size, set_.seed);
    check_scored(data_, split_);
    prepare_folder("--output_dir", set_.output_dir);  // nothing is written before all that can be checked has been
  }

  int run() {
    model net = load_model();
    const adapter_plan plan = plan_of(set_, config_);
    net.attach(plan);
    net.set_gradient_checkpointing(set_.use_gradient_checkpointing);

    const example_batches training(data_, split_.training, set_.micro_batch_size, example_batches::order::shuffled,
                                   set_.seed);
    const example_batches validation(data_, split_.validation, set_.micro_batch_size, example_batches::order::as_given);
    const fine_tuning job{
        .phase = name_of(plan),
        .data = training,
        .validation = split_.validation.empty() ? nullptr : &validation,
        .output = set_.output_dir,
        .base_model = set_.base_model,
        .decisive = decisive_options(set_, plan, fingerprint_of(set_.base_model), fingerprint_of(data_))};
    introduce(net, job);
    const std::vector<double> before = losses(net);
    const training_result trained = fine_tune(net, job, with_);
    if (trained.signal != 0) {
      say(fmt::format("stopped after step {}; go on with the same options and --resume_from_checkpoint auto\n",
                      trained.steps));
      return 128 + trained.signal;
    }
    conclude(net, trained, before);
    return 0;
  }

 private:
  /// What would otherwise show after minutes of tokenising and quantising.
  void check_before_work() const {
    of_base_model([&] { check_model(set_.base_model, config_, load_options_of(set_)); });
    static_cast<void>(adapted_layers(config_, plan_of(set_, config_)));
    const std::string& resumed = set_.resume_from_checkpoint;
    if (!resumed.empty() && resumed != "auto") require_checkpoint(resumed);
  }

  /// Answers and results are kept under the file's name.
  void add_test(test_file test) {
    const bool again =
        std::any_of(tests_.begin(), tests_.end(), [&](const test_file& other) { return other.name == test.name; });
    if (again)
      throw input_error("--eval_files: two files named " + test.name + ".json; results are told apart by name");
    tests_.push_back(std::move(test));
  }

  dataset load(const std::string& file) const {
    return load_dataset(file, tokenizer_.get(),
                        {.prompt = {set_.cutoff_len, set_.train_on_inputs}, .vocab_size = config_.vocab_size});
  }

  void add_loss_file(const std::string& file) {
    const std::string name = std::filesystem::path(file).stem().string();
    for (const other_data& other : others_) {
      if (other.name == name)
        throw input_error("--loss_files: two files named " + name + "; results are told apart by name");
    }
    others_.push_back({name, load(file)});
    if (std::ranges::none_of(others_.back().data.examples, is_scored)) {
      throw input_error("--loss_files: " + file + " has no token that is scored: its prompts fill --cutoff_len");
    }
  }

  static std::vector<index_t> all_of(const dataset& data) {
    std::vector<index_t> all(data.examples.size());
    std::iota(all.begin(), all.end(), index_t{0});
    return all;
  }

  /// Of each of --loss_files, as the validation loss is.
  std::vector<double> losses(model& net) const {
    std::vector<double> result;
    for (const other_data& other : others_) {
      const example_batches batches(other.data, all_of(other.data), set_.micro_batch_size,
                                    example_batches::order::as_given);
      result.push_back(evaluate(net, batches, with_.pool, with_.processes).mean());
    }
    return result;
  }

  model load_model() const {
    progress shown("loading", 0, config_.num_hidden_layers, with_.processes.is_first() && set_.bits != 16);
    load_options how = load_options_of(set_);
    how.progress = [&shown](index_t done, index_t) { shown.update(done); };
    return model::load(set_.base_model, how, with_.pool);
  }

  void introduce(model& net, const fine_tuning& job) const {
    const step_plan steps = training_plan_of(set_, job).steps;
    const memory_report memory = net.memory();
    say(fmt::format("base model: {}, weights of {}\n", set_.base_model, size_text(memory.weights)));
    for (const std::string& note : tokenizer_->notes()) say("tokenizer: " + note + "\n");
    for (const std::string& note : net.notes()) say("note: " + note + "\n");
    say("data: " + data_.summary() + fmt::format(", {} of them for validation\n", std::ssize(split_.validation)));
    say(fmt::format("{} on {} layers: {} trainable parameters\n", job.phase, net.adapters().size(),
                    net.parameters().size()));
    say(fmt::format("{} steps of {} sequences ({} x {}); instruction set {}, {} threads, {} process{}\n",
                    steps.total_steps(), set_.batch_size, set_.accumulation(), set_.micro_batch_size,
                    sbora::to_string(sbora::active_isa()), with_.pool.threads(), with_.processes.size(),
                    with_.processes.size() == 1 ? "" : "es"));
  }

  void conclude(model& net, const training_result& trained, const std::vector<double>& before) {
    std::string lines = fmt::format("result steps {}\nresult parameters {}\nresult peak_bytes {}\n", trained.steps,
                                    net.parameters().size(), peak_resident_bytes());
    if (trained.own_steps > 0) {  // else it was resumed after its last
      lines +=
          fmt::format("result step_ms {:.3f}\nresult loss {:.6f}\n", 1e3 * trained.step_seconds, trained.last_loss);
    }
    if (trained.best_loss) {
      lines += fmt::format("result eval_loss {:.6f}\nresult eval_step {}\n", *trained.best_loss, trained.best_step);
    }
    const std::vector<double> after = losses(net);
    for (std::size_t i = 0; i < after.size(); ++i) {
      const std::string& name = others_[i].name;
      lines += fmt::format("result {}.loss_before {:.6f}\nresult {}.loss {:.6f}\n", name, before[i], name, after[i]);
    }
    std::string samples;
    if (with_.processes.is_first()) {  // generation isn't shared out
      decoder generation(net, with_.pool);
      const generator greedily = [&](const std::vector<token_ids>& prompts, index_t max_new_tokens) {
        return generate(generation, prompts, max_new_tokens, tokenizer_->eos());
      };
      samples =
          sample_answers(data_, split_.validation.empty() ? split_.training : split_.validation, *tokenizer_, greedily);
      for (const test_file& test : tests_) lines += answer(greedily, test);
      write_file(std::filesystem::path(set_.output_dir) / "results.txt", lines);
    }
    say(samples + "\nadapter: " + set_.output_dir + "\n" + lines);
  }

  /// Generates the answers to a test file, saves them, and counts the right ones.
  std::string answer(const generator& model, const test_file& test) const {
    const index_t rows = std::ssize(test.rows);
    progress shown("answers " + test.name, 0, set_.eval_rows > 0 ? std::min(set_.eval_rows, rows) : rows);
    evaluation_options how;
    how.batch_size = answers_at_once(config_);
    how.max_rows = set_.eval_rows;
    how.progress = [&shown](index_t done, index_t, index_t, std::int64_t tokens) { shown.update(done, NAN, tokens); };
    const evaluation result = evaluate_answers(test, *tokenizer_, model, how);
    write_file(std::filesystem::path(set_.output_dir) / (test.name + ".answers.json"), evaluation_json(test, result));
    return evaluation_lines(result, "");
  }

  void say(const std::string& text) const {
    if (with_.processes.is_first()) std::cout << text << std::flush;
  }

  const session& with_;
  const options& set_;
  model_config config_;
  std::vector<test_file> tests_;
  std::unique_ptr<tokenizer> tokenizer_;
  dataset data_;
  data_split split_;
  struct other_data {
    std::string name;  ///< the file's, without folder and extension
    dataset data;
  };
  std::vector<other_data> others_;
};

}  // namespace

int run_fine_tuning(const session& with) { return fine_tuning_run(with).run(); }

}  // namespace llama
