// expect: the features of a token have to lie side by side
// Anything else would need a hidden copy.
#include <Eigen/Core>
#include <sbora/sbora.hpp>

using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

void test(matrix& weight, const Eigen::MatrixXf& x, matrix& y, sbora::fa_adapter<float>& adapter,
          sbora::fa_saved<float>& saved, sbora::workspace& memory) {
  sbora::linear layer{sbora::weight_view{weight}};
#if defined(SBORA_COMPILE_FAIL)
  layer.forward(sbora::tokens_by_features(x), y, memory);
#else
  layer.forward(sbora::features_by_tokens(x), y, memory);
#endif
}
