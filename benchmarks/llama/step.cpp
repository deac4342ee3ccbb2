// Training steps of examples/llama for step.py and epoch.py, which run this beside PyTorch.
// usage: bench_llama_step MODEL ADAPTER THREADS SEQUENCES RANK ALPHA LEARNING_RATE DROPOUT
// Loads the checkpoint MODEL, saves its new FA adapter in the folder ADAPTER, so that the other side takes the same
// regions, and prints "ready". Then for every line of token ids on stdin (SEQUENCES rows of one length, -1 for the
// padding on their left) one step, and "LOSS SECONDS PEAK_MEBIBYTES" on stdout.

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

llama::token_batch read_batch(const std::string& line, llama::index_t sequences) {
  llama::token_batch batch;
  std::istringstream ids(line);
  for (std::int32_t id = 0; ids >> id;) {
    batch.mask.push_back(id >= 0);
    batch.tokens.push_back(std::max(id, 0));
    batch.labels.push_back(id >= 0 ? id : llama::token_batch::not_scored);
  }
  batch.sequences = sequences;
  batch.length = std::ssize(batch.tokens) / sequences;
  return batch;
}

/// Tokens that have one before them.
llama::index_t scored(const llama::token_batch& batch) {
  return std::ranges::count(batch.mask, std::uint8_t{1}) - batch.sequences;
}

int run(char** words) {
  llama::thread_pool pool(std::stoi(words[3]));
  llama::model model = llama::model::load(words[1], {}, pool);
  llama::adapter_plan plan;
  plan.method = llama::adapter_method::sbora_fa;
  plan.rank = std::stol(words[5]);
  plan.alpha = std::stod(words[6]);
  plan.dropout = std::stod(words[8]);
  model.attach(plan);
  llama::save_adapter(model, words[2], llama::adapter_format::official, words[1]);
  sbora::adamw<float> optimiser(std::ssize(model.parameters()), {.learning_rate = std::stod(words[7])});
  std::puts("ready");
  std::fflush(stdout);

  std::uint64_t step = 0;
  for (std::string line; std::getline(std::cin, line);) {
    const llama::token_batch batch = read_batch(line, std::stol(words[4]));
    const auto start = std::chrono::steady_clock::now();
    model.zero_gradient();
    model.set_training_step(++step);
    const llama::loss_sum loss = model.forward_backward(batch, 1.0f / static_cast<float>(scored(batch)), pool);
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
    std::fputs("usage: bench_llama_step MODEL ADAPTER THREADS SEQUENCES RANK ALPHA LEARNING_RATE DROPOUT\n", stderr);
    return 2;
  }
  try {
    return run(words);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_llama_step: %s\n", error.what());
    return 2;
  }
}
