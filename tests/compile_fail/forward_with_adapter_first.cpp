// expect: the arguments are x, y .dy, dx., then an adapter
// The order of delta_forward, not of a layer.
#include <Eigen/Core>
#include <sbora/sbora.hpp>

using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

void test(matrix& weight, const matrix& x, matrix& y, sbora::fa_adapter<float>& adapter, sbora::fa_saved<float>& saved,
          sbora::workspace& memory) {
  sbora::linear layer{sbora::weight_view{weight}};
#if defined(SBORA_COMPILE_FAIL)
  layer.forward(adapter, x, y, memory);
#else
  layer.forward(x, y, adapter, memory);
#endif
}
