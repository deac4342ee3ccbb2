// expect: a result has to be writable
#include <Eigen/Core>
#include <sbora/quantized.hpp>

void test(const sbora::four_bit_view& codes, sbora::weight_view<float> out) {
#if defined(SBORA_COMPILE_FAIL)
  sbora::dequantize(codes, sbora::weight_view<const float>(out));
#else
  sbora::dequantize(codes, out);
#endif
}
