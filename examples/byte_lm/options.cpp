#include "options.hpp"

#include "common/folders.hpp"
#include "common/option_checks.hpp"
#include "sizes.hpp"

namespace byte_lm {

std::optional<options> parse_options(int argc, char** argv) {
  options result;
  CLI::App app(
      "Trains a byte-level language model on one text, freezes it, and fine-tunes its two hidden\n"
      "layers (512 x 512) on another text with SBoRA-FA, SBoRA-FB and, to compare, LoRA.\n"
      "Data: text (.txt), or a JSON array or JSON lines of {instruction, input, output, answer}.\n"
      "The last tenth of each text is held out; losses are measured there. With --quant the weights of\n"
      "the hidden and output layers are quantised after pre-training (QSBoRA, QLoRA).");
  app.name("byte_lm");
  app.get_formatter()->column_width(28);
  app.option_defaults()->always_capture_default();
  app.add_option("--base-data", result.base_data, "text of the base model; none: generated")
      ->type_name("FILE")
      ->check(check_name);
  app.add_option("--task-data", result.task_data, "text to fine-tune on; none: generated")
      ->type_name("FILE")
      ->check(check_name);
  std::string quant = "none", optimiser = "adamw";
  app.add_option("--quant", quant, "how frozen weights are kept; none: float")
      ->type_name("KIND")
      ->check(one_of({"none", "nf4", "fp4", "int8"}));
  app.add_flag("--double-quant", result.double_quant, "quantise the scales of nf4 and fp4 too")->default_str("");
  app.add_option("--rank", result.rank, "rank of the adapters, up to the layers' width")
      ->type_name("N")
      ->check(between(1, width));
  app.add_option("--alpha", result.alpha, "adapters are scaled by alpha / rank")
      ->type_name("X")
      ->check(between(1e-6, 1e6));
  app.add_option("--learning-rate", result.learning_rate, "peak of fine-tuning, for all methods")
      ->type_name("X")
      ->check(between(1e-9, 10.0));
  app.add_option("--optimizer", optimiser, "of fine-tuning; adamw8bit: moments in 8 bits")
      ->type_name("KIND")
      ->check(one_of({"adamw", "adamw8bit"}));
  app.add_option("--steps", result.steps, "optimiser steps of fine-tuning, each method")
      ->type_name("N")
      ->check(between(1, 1e6));
  app.add_option("--base-steps", result.base_steps, "optimiser steps of pre-training")
      ->type_name("N")
      ->check(between(1, 1e6));
  app.add_option("--batch", result.batch, "predicted bytes a step")->type_name("N")->check(between(1, 65536));
  app.add_option("--seed", result.seed, "of weights, regions, batches and generated text")
      ->type_name("N")
      ->check(check_seed);
  app.add_option("--threads", result.threads, "threads; results don't depend on it")
      ->type_name("N")
      ->check(between(1, 256));
  app.add_option("--output", result.output, "folder for results.txt and losses.csv; none: no files")
      ->type_name("DIR")
      ->check(check_name);
  if (!parse_or_help(app, [&] { app.parse(argc, argv); })) return std::nullopt;
  if (quant == "nf4") result.quant = quantisation::nf4;
  if (quant == "fp4") result.quant = quantisation::fp4;
  if (quant == "int8") result.quant = quantisation::int8;
  if (optimiser == "adamw8bit") result.optimiser = optimizer::adamw8bit;
  if (result.double_quant && quant != "nf4" && quant != "fp4") {
    throw input_error("--double-quant needs --quant nf4 or fp4 (see --help)");
  }
  return result;
}

}  // namespace byte_lm
