// expect: made of a weight's sizes
#include <Eigen/Core>
#include <sbora/sbora.hpp>

void test(sbora::weight_view<float> weight) {
#if defined(SBORA_COMPILE_FAIL)
  const sbora::overlay<float> merged(weight);
#else
  const sbora::overlay<float> merged(weight.d_out(), weight.d_in());
  static_cast<void>(merged.deltas());
#endif
}
