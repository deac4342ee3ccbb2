// expect: an activation has to be of the scalar type that the weight computes in
// Activations are float, double or bfloat16; weights may be half.
#include <Eigen/Core>
#include <sbora/sbora.hpp>

using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

#if defined(SBORA_COMPILE_FAIL)
using scalar = Eigen::half;
#else
using scalar = Eigen::bfloat16;
#endif

void test(matrix& weight, const Eigen::Matrix<scalar, Eigen::Dynamic, 1>& x, matrix& y, sbora::workspace& memory) {
  sbora::linear layer{sbora::weight_view{weight}};
  layer.forward(x, y, memory);
}
