#include "options.hpp"

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include <CLI/CLI.hpp>

#include "input_error.hpp"
#include "sizes.hpp"

namespace byte_lm {

std::optional<options> parse_options(int argc, char** argv) {
  options result;
  CLI::App app(
      "Trains a byte-level language model on one text, freezes it, and fine-tunes its two hidden\n"
      "layers (512 x 512) on another text with SBoRA-FA, SBoRA-FB and, to compare, LoRA.\n"
      "Data: a text file, or NAME.json with an array of {instruction, input, output, answer}.\n"
      "The last tenth of each text is held out; losses are measured there.");
  app.name("byte_lm");
  app.get_formatter()->column_width(28);
  app.option_defaults()->always_capture_default();
  const CLI::Validator not_empty(
      [](std::string& value) { return value.empty() ? "the name is empty" : std::string(); }, "");
  app.add_option("--base-data", result.base_data, "text of the base model; none: generated")
      ->type_name("FILE")
      ->check(not_empty);
  app.add_option("--task-data", result.task_data, "text to fine-tune on; none: generated")
      ->type_name("FILE")
      ->check(not_empty);
  app.add_option("--rank", result.rank, "rank of the adapters, up to the layers' width")
      ->type_name("N")
      ->check(CLI::Range(index_t{1}, width));
  app.add_option("--alpha", result.alpha, "adapters are scaled by alpha / rank")
      ->type_name("X")
      ->check(CLI::Range(1e-6, 1e6));
  app.add_option("--learning-rate", result.learning_rate, "peak of fine-tuning, for all methods")
      ->type_name("X")
      ->check(CLI::Range(1e-9, 10.0));
  app.add_option("--steps", result.steps, "optimiser steps of fine-tuning, each method")
      ->type_name("N")
      ->check(CLI::Range(index_t{1}, index_t{1'000'000}));
  app.add_option("--base-steps", result.base_steps, "optimiser steps of pre-training")
      ->type_name("N")
      ->check(CLI::Range(index_t{1}, index_t{1'000'000}));
  app.add_option("--batch", result.batch, "predicted bytes a step")
      ->type_name("N")
      ->check(CLI::Range(index_t{1}, index_t{65'536}));
  app.add_option("--seed", result.seed, "of weights, regions, batches and generated text")
      ->type_name("N");
  app.add_option("--threads", result.threads, "threads; results don't depend on it")
      ->type_name("N")
      ->check(CLI::Range(1, 256));
  app.add_option("--output", result.output, "folder for results.txt and losses.csv; none: no files")
      ->type_name("DIR")
      ->check(not_empty);
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    std::fputs(app.help().c_str(), stdout);
    return std::nullopt;
  } catch (const CLI::ParseError& error) {
    throw input_error(std::string(error.what()) + " (see --help)");
  }
  for (const double value : {result.alpha, result.learning_rate}) {
    // Every comparison with NaN is false, so ranges let it pass.
    if (std::isnan(value)) throw input_error("--alpha and --learning-rate must be numbers");
  }
  return result;
}

void prepare_output(const std::string& folder) {
  if (folder.empty()) return;
  std::error_code status;
  std::filesystem::create_directories(folder, status);
  for (const char* name : {"results.txt", "losses.csv"}) {
    const std::filesystem::path path = std::filesystem::path(folder) / name;
    if (!std::ofstream(path)) throw input_error("--output: can't write " + path.string());
  }
}

}  // namespace byte_lm
