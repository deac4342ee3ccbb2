// expect: delta_forward and delta_backward take the adapter first
// The order of a layer, not of delta_forward.
#include <Eigen/Core>
#include <sbora/sbora.hpp>

using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

void test(const matrix& x, matrix& y, sbora::fa_adapter<float>& adapter, sbora::fa_saved<float>& saved,
          sbora::workspace& memory) {
#if defined(SBORA_COMPILE_FAIL)
  sbora::delta_forward(x, y, adapter, saved, memory);
#else
  sbora::delta_forward(adapter, x, y, saved, memory);
#endif
}
