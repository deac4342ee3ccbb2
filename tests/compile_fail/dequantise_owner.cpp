// expect: the weight is a view: .* w.view\(\) of a quantised weight
#include <Eigen/Core>
#include <sbora/quantized.hpp>

void test(const sbora::int8_weight& codes, sbora::weight_view<float> out) {
#if defined(SBORA_COMPILE_FAIL)
  sbora::dequantize(codes, out);
#else
  sbora::dequantize(codes.view(), out);
#endif
}
