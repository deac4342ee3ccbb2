// expect: the weight is a view
// As linear_of_matrix.
#include <Eigen/Core>
#include <sbora/sbora.hpp>

#include <sbora/quantized.hpp>

void test(Eigen::MatrixXf& weight) {
#if defined(SBORA_COMPILE_FAIL)
  const sbora::four_bit_weight codes(weight);
#else
  const sbora::four_bit_weight codes(sbora::weight_view{weight});
#endif
  static_cast<void>(codes);
}
