// expect: an FB adapter refers to its input until the backward
// The saved record of an FB adapter would point into a matrix that is gone.
#include <Eigen/Core>
#include <sbora/sbora.hpp>

using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

void test(matrix& weight, matrix& x, matrix& y, sbora::fb_adapter<float>& adapter, sbora::fb_saved<float>& saved,
          sbora::workspace& memory) {
  sbora::linear layer{sbora::weight_view{weight}};
#if defined(SBORA_COMPILE_FAIL)
  layer.forward(matrix(x), y, adapter, saved, memory);
#else
  layer.forward(x, y, adapter, saved, memory);
#endif
}
