// Training steps of examples/llama for step.py, which runs this beside PyTorch.
// usage: bench_llama_step MODEL ADAPTER THREADS SEQUENCES LENGTH RANK ALPHA LEARNING_RATE
// Loads the checkpoint MODEL, saves its new FA adapter in the folder ADAPTER, so that the other side takes the same
// regions, and prints "ready". Then for every line of token ids on stdin (SEQUENCES x LENGTH of them) one step, and
// "LOSS SECONDS PEAK_MEBIBYTES" on stdout.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <iostream>
#include <sstream>
#include <string>

#include <sys/resource.h>

#include <sbora/optimisers/adamw.hpp>

#include "model/adapter_files.hpp"
#include "model/model.hpp"

namespace {

double peak_mebibytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

int run(char** words) {
  llama::thread_pool pool(std::stoi(words[3]));
  llama::token_batch batch;
  batch.sequences = std::stol(words[4]);
  batch.length = std::stol(words[5]);
  const auto size = static_cast<std::size_t>(batch.sequences * batch.length);
  batch.mask.assign(size, 1);
  batch.tokens.resize(size);

  llama::model model = llama::model::load(words[1], {}, pool);
  llama::adapter_plan plan;
  plan.method = llama::adapter_method::sbora_fa;
  plan.rank = std::stol(words[6]);
  plan.alpha = std::stod(words[7]);
  plan.dropout = 0;
  model.attach(plan);
  llama::save_adapter(model, words[2], llama::adapter_format::official, words[1]);
  sbora::adamw<float> optimiser(std::ssize(model.parameters()), {.learning_rate = std::stod(words[8])});
  std::puts("ready");
  std::fflush(stdout);

  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream ids(line);
    for (std::int32_t& id : batch.tokens) ids >> id;
    batch.labels = batch.tokens;
    const auto start = std::chrono::steady_clock::now();
    model.zero_gradient();
    const llama::loss_sum loss =
        model.forward_backward(batch, 1.0f / static_cast<float>(batch.sequences * (batch.length - 1)), pool);
    optimiser.step(model.parameters(), model.gradient(), {optimiser.options().learning_rate}, pool);
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start;
    std::printf("%.9g %.9g %.6g\n", loss.mean(), passed.count(), peak_mebibytes());
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace

int main(int count, char** words) {
  if (count != 9) {
    std::fputs("usage: bench_llama_step MODEL ADAPTER THREADS SEQUENCES LENGTH RANK ALPHA LEARNING_RATE\n", stderr);
    return 2;
  }
  try {
    return run(words);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_llama_step: %s\n", error.what());
    return 2;
  }
}
