// A training step of a large model in 4 bits, with random weights, on all cores: run.sh --big.
// usage: bench_llama_big MODEL SEQUENCES CHECKPOINTING
// MODEL: llama_7b or llama3_8b; CHECKPOINTING: 0 or 1. FA of rank 64 on q, k, v, up and down, SEQUENCES x 256 tokens, a
// step of forward, backward and AdamW. Prints one line: MODEL SEQUENCES CHECKPOINTING GIBIBYTES SECONDS OF_PEAK, the
// most that was resident, of the second step, and its model flops (model_flops.hpp) per second over multiply-adds on
// registers. The first step of a process pays for its pages.

#include <cmath>
#include <cstdio>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>

#include <sys/resource.h>

#include <sbora/optimisers/adamw.hpp>

#include "../support/cores.hpp"
#include "../support/timing.hpp"
#include "model_flops.hpp"
#include "random_four_bit.hpp"
#include "register_peak.hpp"
#include "shapes.hpp"

namespace {

using bench::index_t;
using bench::now;

llama::model_config llama_7b() {
  llama::model_config config;
  config.vocab_size = 32000;
  config.hidden_size = 4096;
  config.intermediate_size = 11008;
  config.num_hidden_layers = 32;
  config.num_attention_heads = 32;
  config.num_key_value_heads = 32;
  config.head_dim = 128;
  config.max_position_embeddings = 2048;
  config.tie_word_embeddings = false;
  return config;
}

llama::model_config llama3_8b() {
  llama::model_config config = llama_7b();
  config.vocab_size = 128256;
  config.intermediate_size = 14336;
  config.num_key_value_heads = 8;
  config.max_position_embeddings = 8192;
  return config;
}

double peak_gibibytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1048576;
}

int run(const std::string& name, index_t sequences, bool checkpointing) {
  if (name != "llama_7b" && name != "llama3_8b") throw std::runtime_error("no model " + name);
  const llama::model_config config = name == "llama_7b" ? llama_7b() : llama3_8b();
  const bench::all_cores cores;
  sbora::thread_pool pool(cores.count());
  llama::model net(config, std::make_shared<bench::random_four_bit>(config, 1), {}, pool);
  llama::adapter_plan plan;
  plan.rank = 64;
  plan.method = llama::adapter_method::sbora_fa;
  net.attach(plan);
  net.set_gradient_checkpointing(checkpointing);
  sbora::adamw<float> optimiser(std::ssize(net.parameters()), {.learning_rate = 3e-4});
  const llama::token_batch batch = bench::random_tokens(config, sequences, 256);
  double seconds = 0;
  for (std::uint64_t step = 1; step <= 2; ++step) {
    const double start = now();
    net.zero_gradient();
    net.set_training_step(step);
    const llama::loss_sum loss =
        net.forward_backward(batch, 1.0F / static_cast<float>(sequences * (batch.length - 1)), pool);
    optimiser.step(net.parameters(), net.gradient(), {optimiser.options().learning_rate}, pool);
    seconds = now() - start;
    std::fprintf(stderr, "  step %d: loss %.4f, %.1f s\n", static_cast<int>(step), loss.mean(), seconds);
    // Of random weights, near the logarithm of the vocabulary's size.
    if (!(std::abs(loss.mean() - std::log(static_cast<double>(config.vocab_size))) < 2)) {
      throw std::runtime_error("the loss is wrong");
    }
  }
  const double flops_per_second = 1 / bench::register_peak(pool)();
  std::printf("%s %d %d %.2f %.1f %.3f\n", name.c_str(), static_cast<int>(sequences), checkpointing ? 1 : 0,
              peak_gibibytes(), seconds, bench::model_flops(net, batch) / seconds / flops_per_second);
  return 0;
}

}  // namespace

int main(int count, char** words) {
  if (count != 4) {
    std::fputs("usage: bench_llama_big llama_7b|llama3_8b SEQUENCES 0|1\n", stderr);
    return 2;
  }
  try {
    return run(words[1], std::stol(words[2]), std::string(words[3]) == "1");
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_llama_big: %s\n", error.what());
    return 1;
  }
}
