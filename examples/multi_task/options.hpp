#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <sbora/core/index.hpp>

#include "common/programs.hpp"

namespace multi_task {

using sbora::index_t;

/// The command line. 0: the model's own default.
struct options {
  std::string base_model;  ///< empty: the byte-level model
  std::string data_path, base_text;
  std::string results, tables;
  index_t seeds = 3;
  index_t rank = 0;
  index_t steps = 0;
  int threads = 2;

  index_t base_steps = 1000;  ///< of the byte-level model

  // Of a base model.
  index_t train_rows = 96;
  index_t test_rows = 40;
  index_t text_tokens = 2048;
  index_t batch_size = 8;
  double learning_rate = 0.002;
};

/// Or nothing after --help. Errors: input_error of one line.
std::optional<options> parse_options(int argc, char** argv);

}  // namespace multi_task
