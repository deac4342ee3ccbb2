#include "multi_task/options.hpp"

#include "common/option_checks.hpp"

namespace multi_task {

std::optional<options> parse_options(int argc, char** argv) {
  options set;
  CLI::App app(
      "Four tasks in one model, with SBoRA on regions of their own and on overlapping ones, and with LoRA: each "
      "alone,\n"
      "all together, one after the other, and with columns chosen by scores. Prints tables of held-out losses.\n"
      "Without a base model: a byte-level one, trained here, on generated tasks.");
  app.name("multi_task");
  app.get_formatter()->column_width(28);
  app.option_defaults()->always_capture_default();
  const auto number = [&](const char* name, auto& into, const char* what, double most) {
    return app.add_option(name, into, what)->type_name("N")->check(examples::between(1, most));
  };
  const auto name = [&](const char* option, std::string& into, const char* type, const char* what) {
    app.add_option(option, into, what)->type_name(type)->check(examples::check_name);
  };
  name("--results", set.results, "FILE", "CSV that gets a line for each result; a stopped run goes on from it");
  name("--tables", set.tables, "FILE", "print the tables of such a file; run nothing");
  number("--seeds", set.seeds, "runs, of which mean and deviation are printed", 100);
  number("--rank", set.rank, "columns or rows of a task in each layer [64, of a base model 32]", 4096)->default_str("");
  number("--steps", set.steps, "optimiser steps of a task [200, of a base model 12]", 1e6)->default_str("");
  number("--threads", set.threads, "threads; results don't depend on it", 256);
  number("--base_steps,--base-steps", set.base_steps, "byte-level model: its optimiser steps", 1e6);
  name("--base_model", set.base_model, "DIR", "a LLaMA's folder, or smollm2, which is fetched");
  name("--data_path", set.data_path, "DIR", "base model: folder of the paper's data, arithmetic/ and commonsense/");
  name("--base_text", set.base_text, "FILE", "base model: text not to be forgotten [DATA_LICENSE in --data_path]");
  number("--train_rows", set.train_rows, "base model: rows of a task, drawn by the seed", 1e6);
  number("--test_rows", set.test_rows, "base model: held-out rows of a task, the first of its test file", 1e6);
  number("--text_tokens", set.text_tokens, "base model: tokens of the base text that are measured", 1e6);
  number("--batch_size", set.batch_size, "base model: rows of an optimiser step", 1024);
  app.add_option("--learning_rate", set.learning_rate, "base model: the highest, after a tenth of the steps")
      ->type_name("X")
      ->check(examples::between(1e-9, 1));
  if (!examples::parse_or_help(app, [&] { app.parse(argc, argv); })) return std::nullopt;
  if (set.base_model.empty() != set.data_path.empty()) {
    throw input_error("--base_model and --data_path belong together (see --help)");
  }
  return set;
}

}  // namespace multi_task
