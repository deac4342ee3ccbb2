// expect: an activation has to be of the scalar type that the weight computes in
// Nothing is converted, so nothing is copied.
#include <Eigen/Core>
#include <sbora/sbora.hpp>

using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

#if defined(SBORA_COMPILE_FAIL)
using scalar = int;
#else
using scalar = Eigen::bfloat16;
#endif

void test(matrix& weight, const Eigen::Matrix<scalar, Eigen::Dynamic, 1>& x, matrix& y, sbora::workspace& memory) {
  sbora::linear layer{sbora::weight_view{weight}};
  layer.forward(x, y, memory);
}
