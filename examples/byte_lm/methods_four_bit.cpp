#include "run_methods.hpp"

std::vector<byte_lm::method_result> byte_lm::run_over_four_bit(const method_inputs& in) {
  const sbora::four_bit_options codes = {
      .type = in.settings.quant == quantisation::nf4 ? sbora::four_bit_type::nf4 : sbora::four_bit_type::fp4,
      .nested = in.settings.double_quant};
  const auto quantise = [&](const sbora::weight_view<const float>& values) {
    return sbora::four_bit_weight(values, codes, in.pool);
  };
  return run_over(quantised_base<sbora::four_bit_weight>(in.model, quantise), in);
}
