#include "run_methods.hpp"

std::vector<byte_lm::method_result> byte_lm::run_over_int8(const method_inputs& in) {
  const auto quantise = [&](const sbora::weight_view<const float>& values) {
    return sbora::int8_weight(values, in.pool);
  };
  return run_over(quantised_base<sbora::int8_weight>(in.model, quantise), in);
}
