// byte_lm: a small byte-level language model, pre-trained on one text and fine-tuned on another with
// SBoRA-FA, SBoRA-FB and LoRA. The trainer is its own; sbora_layer.hpp is where sbora is used.

#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "base_model.hpp"
#include "corpus.hpp"
#include "methods.hpp"
#include "options.hpp"
#include "report.hpp"
#include "common/folders.hpp"
#include "common/word_problems.hpp"

namespace byte_lm {

void run(const options& settings) {
  const corpus base_text = settings.base_data.empty()
                               ? corpus("generated base text", word_problems::base_text(settings.seed))
                               : load_corpus(settings.base_data);
  const corpus task_text = settings.task_data.empty()
                               ? corpus("generated task text", word_problems::task_text(settings.seed))
                               : load_corpus(settings.task_data);
  if (!settings.output.empty()) prepare_folder("--output", settings.output);
  thread_pool pool(settings.threads);
  std::printf("base text: %s, %td bytes\ntask text: %s, %td bytes\n", base_text.name().c_str(), base_text.size(),
              task_text.name().c_str(), task_text.size());
  std::printf("model: %td weights; instruction set %s, %d threads\n", model_view::size(),
              sbora::to_string(sbora::active_isa()), settings.threads);
  std::fflush(stdout);

  std::vector<loss_record> log;
  std::vector<float> base = make_base(settings, base_text, pool, log);
  const std::vector<method_result> results = run_methods({settings, model_view(base), base_text, task_text, pool, log});

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
