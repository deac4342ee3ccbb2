// expect: an activation is an Eigen matrix, vector, Map, Ref or Block, or an sbora::activation_view
// A std::vector says nothing about tokens.
#include <Eigen/Core>
#include <sbora/sbora.hpp>

using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

void test(matrix& weight, const std::vector<float>& x, matrix& y, sbora::fa_adapter<float>& adapter,
          sbora::fa_saved<float>& saved, sbora::workspace& memory) {
  sbora::linear layer{sbora::weight_view{weight}};
#if defined(SBORA_COMPILE_FAIL)
  layer.forward(x, y, memory);
#else
  layer.forward(sbora::activation_view(x.data(), 1, 12), y, memory);
#endif
}
