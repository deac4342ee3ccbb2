// expect: four_bit_weight\(weight, four_bit_options\)
#include <Eigen/Core>
#include <sbora/quantized.hpp>

void test(sbora::weight_view<float> weight) {
#if defined(SBORA_COMPILE_FAIL)
  const sbora::four_bit_weight codes(weight, sbora::serial_executor());
#else
  const sbora::four_bit_weight codes(weight, {}, sbora::serial_executor());
  static_cast<void>(codes);
#endif
}
