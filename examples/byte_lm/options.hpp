#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <thread>

#include <sbora/core/index.hpp>

namespace byte_lm {

using sbora::index_t;

/// How the layers' weights are kept while adapters train.
enum class quantisation { none, nf4, fp4, int8 };
/// Of fine-tuning.
enum class optimizer { adamw, adamw8bit };

struct options {
  std::string base_data;
  std::string task_data;
  quantisation quant = quantisation::none;
  bool double_quant = false;
  index_t rank = 64;
  double alpha = 128;
  double learning_rate = 5e-3;
  optimizer optimiser = optimizer::adamw;
  index_t steps = 300;
  index_t base_steps = 1000;
  index_t batch = 512;
  std::uint64_t seed = 1;
  int threads = static_cast<int>(std::clamp(std::thread::hardware_concurrency(), 1U, 64U));
  std::string output;
};

/// The options, or nothing after --help. Throws input_error, with one line that names the option.
std::optional<options> parse_options(int argc, char** argv);

}  // namespace byte_lm
