// expect: an activation must lie in memory .* an expression or a strided map would need a hidden copy
// An expression has no memory to read; evaluating it behind the caller's back would allocate.
#include <Eigen/Core>
#include <sbora/sbora.hpp>

using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

void test(matrix& weight, matrix& a, matrix& b, matrix& y, sbora::workspace& memory) {
  sbora::linear layer{sbora::weight_view{weight}};
#if defined(SBORA_COMPILE_FAIL)
  layer.forward(a + b, y, memory);
#else
  const matrix sum = a + b;
  layer.forward(sum, y, memory);
#endif
}
