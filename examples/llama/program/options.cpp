#include "program/options.hpp"

#include <algorithm>
#include <cctype>

#include "common/option_checks.hpp"

namespace llama {

namespace {

constexpr const char* about =
    "Fine-tunes a LLaMA (Mistral, Qwen, ...) with SBoRA-FA, SBoRA-FB or LoRA on the CPU. --base_model is a Hugging\n"
    "Face directory (config.json, safetensors, tokenizer) or a GGUF file; without it a byte-level LLaMA of about two\n"
    "million weights is trained on --base_data first and fine-tuned with all three, to show the whole cycle in\n"
    "minutes. Data: JSON arrays or JSON lines of {instruction, input, output, answer}, or text (.txt). Ctrl-C\n"
    "finishes the step, saves a checkpoint and exits with 130; --resume_from_checkpoint auto goes on. Exit code 2: an\n"
    "option or a file is wrong.";

// The numbers in brackets: what the embedded cycle takes where it differs.
struct embedded_defaults {
  static constexpr const char* output_dir = "llama_out";
  static constexpr index_t lora_r = 32;
  static constexpr double lora_alpha = 64;
  static constexpr index_t batch_size = 16;
  static constexpr index_t micro_batch_size = 8;
  static constexpr index_t max_steps = 80;
  static constexpr double learning_rate = 5e-3;
  static constexpr index_t warmup_steps = 12;
  static constexpr index_t cutoff_len = 512;
  static constexpr index_t val_set_size = 64;
  static constexpr bool train_on_inputs = false;
  static constexpr index_t eval_step = 40;
  static constexpr index_t save_step = 40;
};

/// q_proj,v_proj; in brackets and quotes, as the official scripts write it, or in what shells leave of these.
std::vector<std::string> parse_modules(const std::string& text) {
  const auto trimmed = [](std::string_view word, std::string_view what) {
    const std::size_t first = word.find_first_not_of(what);
    return first == word.npos ? std::string_view() : word.substr(first, word.find_last_not_of(what) + 1 - first);
  };
  const auto refuse = [&](const std::string& why) {
    throw input_error("--target_modules: " + why + " in " + text +
                      "; expected q_proj,v_proj or '[\"q_proj\", \"v_proj\"]'");
  };
  std::string_view list = trimmed(text, " ");
  const bool opened = list.starts_with('['), closed = list.ends_with(']');
  if (opened != closed) refuse("a bracket without its other");
  if (opened) list = list.substr(1, list.size() - 2);
  std::vector<std::string> names;
  for (const std::string& word : CLI::detail::split(std::string(list), ',')) {
    std::string_view name = trimmed(word, " ");
    if (name.size() >= 2 && name.front() == name.back() && (name.front() == '"' || name.front() == '\'')) {
      name = name.substr(1, name.size() - 2);
    }
    const auto fits = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.'; };
    if (name.empty()) refuse("an empty name");
    if (!std::ranges::all_of(name, fits) || std::isdigit(static_cast<unsigned char>(name.front()))) {
      refuse("\"" + std::string(name) + "\" isn't a module's name");
    }
    names.emplace_back(name);
  }
  return names;
}

/// A list in brackets that the shell has cut at its blanks is one word again: [q_proj, v_proj].
std::vector<std::string> joined_lists(int argc, char** argv) {
  std::vector<std::string> words;
  for (int i = 1; i < argc; ++i) {
    const bool follows = !words.empty() && words.back() == "--target_modules";
    words.emplace_back(argv[i]);
    if (!follows && !words.back().starts_with("--target_modules=[")) continue;
    if (words.back().find('[') == std::string::npos) continue;
    while (words.back().find(']') == std::string::npos && i + 1 < argc && argv[i + 1][0] != '-') {
      words.back() += argv[++i];
    }
  }
  return words;
}

/// Options that are on, off, or alone: --x, --x true, --x False, as the official scripts take them.
CLI::Option* add_switch(CLI::App& app, const std::string& name, bool& value, const std::string& help) {
  return app
      .add_option_function<std::string>(
          name,
          [&value, name](const std::string& given) {
            const std::string word = CLI::detail::to_lower(given);
            if (word.empty() || word == "true" || word == "1" || word == "yes") {
              value = true;
            } else if (word == "false" || word == "0" || word == "no") {
              value = false;
            } else {
              throw input_error(name + ": " + given + " isn't true or false");
            }
          },
          help)
      ->expected(0, 1)
      ->type_name(value ? "BOOL=true" : "BOOL=false");  // default_str() is what an option alone would become
}

void add_model_options(CLI::App& app, options& set) {
  app.option_defaults()->group("Model and data");
  app.add_option("--base_model", set.base_model, "Hugging Face directory, or GGUF file; none: the embedded cycle")
      ->type_name("PATH")
      ->check(check_name);
  app.add_option("--data_path", set.data_path, "JSON or CSV rows to fine-tune on; none: generated (embedded cycle)")
      ->type_name("FILE")
      ->check(check_name);
  app.add_option("--eval_files", set.eval_files, "test sets, JSON: answers are generated and counted right or wrong")
      ->type_name("FILE,...")
      ->default_str("")
      ->take_all()
      ->delimiter(',')
      ->check(check_name);
  app.add_option("--eval_rows", set.eval_rows, "rows of each test set that are answered, the first ones; 0: all")
      ->type_name("N")
      ->check(between(0, 1e9));
  app.add_option("--loss_files", set.loss_files,
                 "data like --data_path's, never trained on: their loss before and after, to see what is forgotten")
      ->type_name("FILE,...")
      ->default_str("")
      ->take_all()
      ->delimiter(',')
      ->check(check_name);
  app.add_option("--output_dir", set.output_dir, "adapter, checkpoints, metrics.jsonl, loss.svg [llama_out]")
      ->type_name("DIR")
      ->default_str("./lora-alpaca")
      ->check(check_name);
  app.add_option("--base_data", set.base_data, "embedded: JSON rows or text to pre-train on; none: generated")
      ->type_name("FILE,...")
      ->default_str("")
      ->take_all()
      ->delimiter(',')
      ->check(check_name);
  app.add_option("--base_steps", set.base_steps, "embedded: optimiser steps of pre-training")
      ->type_name("N")
      ->check(between(1, 1e7));
  app.add_option("--cache_dir", set.cache_dir, "embedded: where trained base models are kept; none: in --output_dir")
      ->type_name("DIR")
      ->check(check_name);
  app.add_option("--bits", set.bits, "of the frozen weights: 16 as stored, 8 LLM.int8, 4 (QSBoRA)")
      ->type_name("N")
      ->check(one_of({"16", "8", "4"}));
  app.add_option("--quant_type", set.quant_type, "of 4 bits: nf4 or fp4")
      ->type_name("TYPE")
      ->check(one_of({"nf4", "fp4"}));
  add_switch(app, "--double_quant", set.double_quant, "4 bits: quantise the scales too");
  add_switch(app, "--bf16", set.bf16,
             "multiply in bfloat16, as torch.autocast: much faster where the processor has AMX, and less exact");
}

void add_adapter_options(CLI::App& app, options& set) {
  app.option_defaults()->group("Adapter");
  app.add_option("--adapter_name", set.adapter_name, "sbora_fa, sbora_fb or lora [all three]")
      ->type_name("NAME")
      ->default_str("sbora_fa")
      ->check(one_of({"sbora_fa", "sbora_fb", "lora"}));
  app.add_option("--lora_r", set.lora_r, "rank, up to the layers' width [32; LoRA 16: as many parameters]")
      ->type_name("N")
      ->check(between(1, 1e6));
  app.add_option("--lora_alpha", set.lora_alpha, "updates are scaled by alpha / r [64]")
      ->type_name("X")
      ->check(between(1e-6, 1e6));
  app.add_option("--lora_dropout", set.lora_dropout, "of an adapter's inputs, in training")
      ->type_name("P")
      ->check(between(0, 0.99));
  app.add_option_function<std::string>(
         "--target_modules", [&set](const std::string& text) { set.target_modules = parse_modules(text); },
         "layers with adapters: '[\"q_proj\", ...]', [q_proj,...] or q_proj,...")
      ->type_name("NAMES")
      ->default_str("q_proj,k_proj,v_proj,up_proj,down_proj, or the fused layers that hold them");
}

void add_training_options(CLI::App& app, options& set) {
  app.option_defaults()->group("Training");
  const auto count = [&](const char* name, index_t& value, double least, const char* help) {
    app.add_option(name, value, help)->type_name("N")->check(between(least, 1e9));
  };
  const auto number = [&](const char* name, double& value, double least, double most, const char* help) {
    app.add_option(name, value, help)->type_name("X")->check(between(least, most));
  };
  count("--batch_size", set.batch_size, 1, "sequences a step, over all processes [16]");
  count("--micro_batch_size", set.micro_batch_size, 1, "sequences at once; the rest is accumulated [8]");
  count("--num_epochs", set.num_epochs, 1, "passes through the data");
  count("--max_steps", set.max_steps, 0, "optimiser steps instead of epochs; 0: epochs [80]");
  number("--learning_rate", set.learning_rate, 1e-12, 100, "peak: linear warm-up, then linear decay to 0 [0.005]");
  number("--weight_decay", set.weight_decay, 0, 1, "decoupled, of AdamW");
  count("--warmup_steps", set.warmup_steps, 0, "steps until the peak [12]");
  number("--max_grad_norm", set.max_grad_norm, 0, 1e9, "the gradient's global norm is clipped to it; 0: not");
  count("--cutoff_len", set.cutoff_len, 8, "tokens a sequence at most; the rest is cut off [512]");
  count("--val_set_size", set.val_set_size, 0, "rows for validation, never trained on; 0: none [64]");
  add_switch(app, "--train_on_inputs", set.train_on_inputs, "score the prompt's tokens too [false]");
  count("--eval_step", set.eval_step, 0, "validate after every so many steps [40]");
  count("--early_stopping_patience", set.early_stopping_patience, 0,
        "end after so many validations in a row without a lower loss; 0: never");
  count("--save_step", set.save_step, 0, "checkpoint after every so many steps; 0: when stopped [40]");
  app.add_option("--save_total_limit", set.save_total_limit, "checkpoints kept")
      ->type_name("N")
      ->check(between(1, 1000));
  add_switch(app, "--load_best_model_at_end", set.load_best_model_at_end,
             "save the adapter of the lowest validation loss");
  app.add_option("--resume_from_checkpoint", set.resume_from_checkpoint,
                 "a checkpoint-N.safetensors, or auto: the newest in --output_dir, if any")
      ->type_name("FILE|auto")
      ->check(check_name);
  add_switch(app, "--use_gradient_checkpointing", set.use_gradient_checkpointing,
             "compute activations twice instead of keeping them");
  app.add_option("--seed", set.seed, "of regions, start values, dropout and the order of the data")
      ->type_name("N")
      ->check(check_seed);
  app.add_option("--threads", set.threads, "threads; 0: all; results don't depend on it")
      ->type_name("N")
      ->check(between(0, 1024));
}

void take_embedded_defaults(const CLI::App& app, options& set) {
  const auto unless_given = [&](const char* name, auto& value, auto embedded) {
    if (app.get_option(name)->count() == 0) value = embedded;
  };
  using embedded = embedded_defaults;
  unless_given("--output_dir", set.output_dir, embedded::output_dir);
  unless_given("--lora_r", set.lora_r, embedded::lora_r);
  unless_given("--lora_alpha", set.lora_alpha, embedded::lora_alpha);
  unless_given("--batch_size", set.batch_size, embedded::batch_size);
  unless_given("--micro_batch_size", set.micro_batch_size, embedded::micro_batch_size);
  if (app.get_option("--num_epochs")->count() == 0) unless_given("--max_steps", set.max_steps, embedded::max_steps);
  unless_given("--learning_rate", set.learning_rate, embedded::learning_rate);
  unless_given("--warmup_steps", set.warmup_steps, embedded::warmup_steps);
  unless_given("--cutoff_len", set.cutoff_len, embedded::cutoff_len);
  unless_given("--val_set_size", set.val_set_size, embedded::val_set_size);
  unless_given("--train_on_inputs", set.train_on_inputs, embedded::train_on_inputs);
  unless_given("--eval_step", set.eval_step, embedded::eval_step);
  unless_given("--save_step", set.save_step, embedded::save_step);
}

/// What no option can see by itself.
void check_together(const CLI::App& app, const options& set) {
  const auto given = [&](const char* name) { return app.get_option(name)->count() > 0; };
  if (set.embedded() && given("--loss_files")) {
    throw input_error("--loss_files: for a --base_model; the embedded cycle measures --base_data");
  }
  if (set.embedded() && given("--eval_files")) {
    throw input_error("--eval_files: for a --base_model; the embedded one is too small to answer");
  }
  if (!set.embedded()) {
    for (const char* name : {"--base_data", "--base_steps", "--cache_dir"}) {
      if (given(name)) throw input_error(std::string(name) + " is for the embedded cycle, without --base_model");
    }
    if (set.data_path.empty()) throw input_error("--data_path: name the JSON file to fine-tune on");
  }
  if (set.embedded() && set.adapter_name.empty() && !set.resume_from_checkpoint.empty() &&
      set.resume_from_checkpoint != "auto") {
    throw input_error("--resume_from_checkpoint: a file is of one adapter; name that with --adapter_name, or say auto");
  }
  if (set.early_stopping_patience > 0 && (set.val_set_size == 0 || set.eval_step == 0)) {
    throw input_error("--early_stopping_patience: needs --val_set_size and --eval_step above 0");
  }
  if (set.batch_size % set.micro_batch_size != 0) {
    throw input_error("--batch_size " + std::to_string(set.batch_size) + " isn't a multiple of --micro_batch_size " +
                      std::to_string(set.micro_batch_size));
  }
}

}  // namespace

std::optional<options> parse_options(int argc, char** argv) {
  options set;
  set.base_steps = 120;
  CLI::App app(about);
  app.name("llama");
  app.get_formatter()->column_width(38);
  app.option_defaults()->always_capture_default();
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);  // as the official scripts
  add_model_options(app, set);
  add_adapter_options(app, set);
  add_training_options(app, set);
  app.footer("In brackets at the end of a line: the embedded cycle's own default, without --base_model.");
  const auto parse = [&] {
    std::vector<std::string> words = joined_lists(argc, argv);
    std::ranges::reverse(words);  // as CLI11 takes them
    app.parse(std::move(words));
  };
  if (!parse_or_help(app, parse)) return std::nullopt;
  if (set.embedded()) {
    take_embedded_defaults(app, set);
  } else {
    if (set.output_dir.empty()) set.output_dir = "./lora-alpaca";
    if (set.adapter_name.empty()) set.adapter_name = "sbora_fa";
  }
  check_together(app, set);
  return set;
}

}  // namespace llama
