// expect: this memory is referred to, not copied, and a temporary's would be gone
// A layer refers to its bias.
#include <Eigen/Core>
#include <sbora/sbora.hpp>

void test(const float* weight) {
#if defined(SBORA_COMPILE_FAIL)
  sbora::linear layer(sbora::weight_view(weight, 3, 4), std::vector<float>{1, 2, 3});
#else
  const std::vector<float> bias = {1, 2, 3};
  sbora::linear layer(sbora::weight_view(weight, 3, 4), bias);
#endif
  static_cast<void>(layer);
}
