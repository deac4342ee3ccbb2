#include "run_methods.hpp"

std::vector<byte_lm::method_result> byte_lm::run_over_dense(const method_inputs& in) {
  return run_over(dense_base(in.model), in);
}
