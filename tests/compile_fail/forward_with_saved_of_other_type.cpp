// expect: what was saved doesn't fit the adapter
// Only the record of its kind and scalar type holds what an adapter saves.
#include <Eigen/Core>
#include <sbora/sbora.hpp>

using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

void test(matrix& weight, const matrix& x, matrix& y, sbora::fa_adapter<float>& adapter, std::vector<float>& floats,
          sbora::fa_saved<float>& saved, sbora::workspace& memory) {
  sbora::linear layer{sbora::weight_view{weight}};
#if defined(SBORA_COMPILE_FAIL)
  layer.forward(x, y, adapter, floats, memory);
#else
  static_cast<void>(floats);
  layer.forward(x, y, adapter, saved, memory);
#endif
}
