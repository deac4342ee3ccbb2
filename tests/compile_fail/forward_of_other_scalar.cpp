// expect: an activation has to be of the scalar type that the weight computes in
// Converting would need a hidden copy.
#include <Eigen/Core>
#include <sbora/sbora.hpp>

using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
#if defined(SBORA_COMPILE_FAIL)
using input = Eigen::MatrixXd;
#else
using input = Eigen::MatrixXf;
#endif

void test(matrix& weight, const input& x, matrix& y, sbora::workspace& memory) {
  sbora::linear layer{sbora::weight_view{weight}};
  layer.forward(x, y, memory);
}
