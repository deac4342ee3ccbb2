// expect: of bfloat16 inputs it is an fb_saved<float, Eigen::bfloat16>
// The record refers to its input, whose type it has.
#include <Eigen/Core>
#include <sbora/sbora.hpp>

using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

using half_matrix = Eigen::Matrix<Eigen::bfloat16, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
#if defined(SBORA_COMPILE_FAIL)
using saved_inputs = sbora::fb_saved<float>;
#else
using saved_inputs = sbora::fb_saved<float, Eigen::bfloat16>;
#endif

void test(matrix& weight, const half_matrix& x, matrix& y, sbora::fb_adapter<float>& adapter, saved_inputs& saved,
          sbora::workspace& memory) {
  sbora::linear layer{sbora::weight_view{weight}};
  layer.forward(x, y, adapter, saved, memory);
}
