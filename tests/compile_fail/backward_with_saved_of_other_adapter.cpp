// expect: what was saved doesn't fit the adapter
// FA keeps gathered inputs, FB refers to x: one's record is meaningless to the other.
#include <Eigen/Core>
#include <sbora/sbora.hpp>

using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
#if defined(SBORA_COMPILE_FAIL)
using saved_inputs = sbora::fb_saved<float>;
#else
using saved_inputs = sbora::fa_saved<float>;
#endif

void test(matrix& weight, const matrix& dy, matrix& dx, sbora::fa_adapter<float>& adapter, const saved_inputs& saved,
          sbora::workspace& memory) {
  sbora::linear layer{sbora::weight_view{weight}};
  layer.backward(dy, dx, adapter, saved, memory);
}
