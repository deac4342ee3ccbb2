// expect: sbora::overlay merges beside them
#include <Eigen/Core>
#include <sbora/sbora.hpp>
#include <sbora/quantized.hpp>

void test(sbora::four_bit_weight& codes, Eigen::MatrixXf& weight) {
#if defined(SBORA_COMPILE_FAIL)
  static_cast<void>(weight);
  sbora::merger merger{codes.view()};
#else
  static_cast<void>(codes);
  sbora::merger merger{sbora::weight_view{weight}};
#endif
}
