#pragma once

#include <vector>

#include "corpus.hpp"
#include "model.hpp"
#include "options.hpp"
#include "common/matrix.hpp"
#include "report.hpp"
#include "trainer.hpp"

namespace byte_lm {

struct method_inputs {
  const options& settings;
  model_view model;
  const corpus& base_text;
  const corpus& task_text;
  thread_pool& pool;
  std::vector<loss_record>& log;
};

// Fine-tune the frozen model with every method, over weights as they are, or quantised as the options say.
std::vector<method_result> run_over_dense(const method_inputs& in);
std::vector<method_result> run_over_four_bit(const method_inputs& in);
std::vector<method_result> run_over_int8(const method_inputs& in);

inline std::vector<method_result> run_methods(const method_inputs& in) {
  switch (in.settings.quant) {
    case quantisation::none: return run_over_dense(in);
    case quantisation::int8: return run_over_int8(in);
    case quantisation::nf4:
    case quantisation::fp4: break;
  }
  return run_over_four_bit(in);
}

}  // namespace byte_lm
