// expect: the weight is a view
#include <Eigen/Core>
#include <sbora/quantized.hpp>

void test(const sbora::four_bit_view& codes, Eigen::MatrixXf& out) {
#if defined(SBORA_COMPILE_FAIL)
  sbora::dequantize(codes, out);
#else
  sbora::dequantize(codes, sbora::weight_view{out});
#endif
}
