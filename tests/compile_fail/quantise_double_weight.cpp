// expect: a weight is read row by row as floats
#include <Eigen/Core>
#include <sbora/quantized.hpp>

void test(sbora::weight_view<double> weight, sbora::weight_view<float> other) {
#if defined(SBORA_COMPILE_FAIL)
  static_cast<void>(other);
  const sbora::int8_weight codes(weight);
#else
  static_cast<void>(weight);
  const sbora::int8_weight codes(other);
  static_cast<void>(codes);
#endif
}
