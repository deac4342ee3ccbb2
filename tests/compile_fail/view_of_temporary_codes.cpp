// expect: deleted
// What quantised weights hand out refers to them.
#include <Eigen/Core>
#include <sbora/sbora.hpp>

#include <sbora/quantized.hpp>

void test(const float* weight) {
  const sbora::weight_view source(weight, 8, 8);
#if defined(SBORA_COMPILE_FAIL)
  const sbora::linear layer(sbora::four_bit_weight(source).view());
#else
  const sbora::four_bit_weight codes(source);
  const sbora::linear layer(codes.view());
#endif
}
