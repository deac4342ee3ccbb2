// expect: what was saved doesn't fit the adapter
// FA keeps gathered inputs, FB refers to x.
#include <Eigen/Core>
#include <sbora/sbora.hpp>

using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

void test(matrix& weight, const matrix& x, matrix& y, sbora::fb_adapter<float>& adapter, sbora::fa_saved<float>& of_fa,
          sbora::fb_saved<float>& saved, sbora::workspace& memory) {
  sbora::linear layer{sbora::weight_view{weight}};
#if defined(SBORA_COMPILE_FAIL)
  layer.forward(x, y, adapter, of_fa, memory);
#else
  static_cast<void>(of_fa);
  layer.forward(x, y, adapter, saved, memory);
#endif
}
