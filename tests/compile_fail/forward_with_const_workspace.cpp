// expect: the call lacks its workspace, an sbora::workspace that isn't const
// Calls write into their workspace.
#include <Eigen/Core>
#include <sbora/sbora.hpp>

using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

void test(matrix& weight, const matrix& x, matrix& y, sbora::fa_adapter<float>& adapter, sbora::fa_saved<float>& saved,
          sbora::workspace& memory) {
  sbora::linear layer{sbora::weight_view{weight}};
#if defined(SBORA_COMPILE_FAIL)
  layer.forward(x, y, std::as_const(memory));
#else
  layer.forward(x, y, memory);
#endif
}
