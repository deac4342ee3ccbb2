// expect: a transposed matrix is taken for what the matrix itself is
// Row-major is tokens × features, column-major features × tokens: transposing changes both and so nothing.
#include <Eigen/Core>
#include <sbora/sbora.hpp>

using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

void test(matrix& weight, const matrix& x, matrix& y, sbora::fa_adapter<float>& adapter, sbora::fa_saved<float>& saved,
          sbora::workspace& memory) {
  sbora::linear layer{sbora::weight_view{weight}};
#if defined(SBORA_COMPILE_FAIL)
  layer.forward(x.transpose(), y, memory);
#else
  layer.forward(sbora::features_by_tokens(x.transpose()), y, memory);
#endif
}
