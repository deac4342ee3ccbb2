// expect: a view of a temporary would dangle
#include <Eigen/Core>
#include <sbora/sbora.hpp>

using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

void test(matrix& weight, const matrix& x, matrix& y, sbora::fa_adapter<float>& adapter, sbora::fa_saved<float>& saved,
          sbora::workspace& memory) {
  sbora::linear layer{sbora::weight_view{weight}};
#if defined(SBORA_COMPILE_FAIL)
  const auto view = sbora::tokens_by_features(matrix(x));
  layer.forward(view, y, memory);
#else
  const auto view = sbora::tokens_by_features(x);
  layer.forward(view, y, memory);
#endif
}
