// expect: an activation must lie in memory with an inner stride of 1
// Kernels read whole vectors from a token's features, so those must be contiguous.
#include <Eigen/Core>
#include <sbora/sbora.hpp>

using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
#if defined(SBORA_COMPILE_FAIL)
using stride = Eigen::Stride<Eigen::Dynamic, 2>;
#else
using stride = Eigen::OuterStride<>;
#endif

void test(matrix& weight, const Eigen::Map<const matrix, 0, stride>& x, matrix& y, sbora::workspace& memory) {
  sbora::linear layer{sbora::weight_view{weight}};
  layer.forward(x, y, memory);
}
