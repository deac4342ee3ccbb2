// byte_lm: a small byte-level language model, pre-trained on one text and fine-tuned on another with
// SBoRA-FA, SBoRA-FB and LoRA. The trainer is its own; sbora_layer.hpp is where sbora is used.

#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "base_model.hpp"
#include "corpus.hpp"
#include "fine_tune.hpp"
#include "grammar.hpp"
#include "lora_layer.hpp"
#include "options.hpp"
#include "report.hpp"

namespace byte_lm {

/// FA reads `rank` columns of the weight, FB writes `rank` rows; which ones is drawn from the seed.
template <class Adapter>
method_result fine_tune_sbora(const session& with, const char* key, const char* name) {
  const options& set = with.settings;
  return fine_tune(
      with, key, name + std::string(", rank ") + std::to_string(set.rank), set.rank * width,
      [&](int layer, std::span<float> parameters, std::span<float> gradient) {
        const sbora::region region =
            sbora::sample_region(width, set.rank, set.seed + static_cast<std::uint64_t>(layer));
        return sbora_layer<Adapter>(
            with.model(), layer,
            Adapter(width, width, region, {.alpha = set.alpha}, parameters, gradient));
      });
}

/// The same scale for every rank: with alpha fixed, half the rank would also double the step.
method_result fine_tune_lora(const session& with, const char* key, index_t rank) {
  const options& set = with.settings;
  const double scale = set.alpha / static_cast<double>(set.rank);
  return fine_tune(with, key, "LoRA, rank " + std::to_string(rank),
                   lora_layer::parameter_count(rank),
                   [&](int layer, std::span<float> parameters, std::span<float> gradient) {
                     return lora_layer(with.model(), layer, rank, scale,
                                       set.seed + static_cast<std::uint64_t>(layer), parameters,
                                       gradient);
                   });
}

void run(const options& settings) {
  const corpus base_text = settings.base_data.empty()
                               ? corpus("generated base text", grammar::base_text(settings.seed))
                               : load_corpus(settings.base_data);
  const corpus task_text = settings.task_data.empty()
                               ? corpus("generated task text", grammar::task_text(settings.seed))
                               : load_corpus(settings.task_data);
  prepare_output(settings.output);
  thread_pool pool(settings.threads);
  std::printf("base text: %s, %td bytes\ntask text: %s, %td bytes\n", base_text.name().c_str(),
              base_text.size(), task_text.name().c_str(), task_text.size());
  std::printf("model: %td weights; instruction set %s, %d threads\n", model_view::size(),
              sbora::to_string(sbora::active_isa()), settings.threads);
  std::fflush(stdout);

  std::vector<loss_record> log;
  std::vector<float> base = make_base(settings, base_text, pool, log);
  const session with{settings, base, base_text, task_text, pool, log};
  std::vector<method_result> results;
  results.push_back(fine_tune_sbora<sbora::fa_adapter<float>>(with, "fa", "SBoRA-FA"));
  results.push_back(fine_tune_sbora<sbora::fb_adapter<float>>(with, "fb", "SBoRA-FB"));
  results.push_back(fine_tune_lora(with, "lora", settings.rank));
  if (settings.rank > 1) {
    // As many trainable parameters as FA and FB (with an odd rank a little fewer).
    results.push_back(fine_tune_lora(with, "lora_half_rank", settings.rank / 2));
  }

  const std::string lines = result_lines(results);
  std::printf("\n%s\n%s", table(results).c_str(), lines.c_str());
  if (!settings.output.empty()) write_files(settings.output, lines, log);
}

}  // namespace byte_lm

int main(int argc, char** argv) {
  try {
    if (const auto settings = byte_lm::parse_options(argc, argv)) byte_lm::run(*settings);
    return 0;
  } catch (const byte_lm::input_error& error) {
    std::fprintf(stderr, "byte_lm: %s\n", error.what());
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "byte_lm: %s\n", error.what());
    return 1;
  }
}
