// expect: sbora::linear: the weight is a view
// A layer copies no weight, so it is made of a view.
#include <Eigen/Core>
#include <sbora/sbora.hpp>

using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

void test(matrix& weight, const matrix& x, matrix& y, sbora::workspace& memory) {
#if defined(SBORA_COMPILE_FAIL)
  sbora::linear layer{weight};
#else
  sbora::linear layer{sbora::weight_view{weight}};
#endif
  layer.forward(x, y, memory);
}
