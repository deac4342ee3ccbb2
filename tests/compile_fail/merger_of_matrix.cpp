// expect: sbora::merger: the weight is a view
// As linear_of_matrix.
#include <Eigen/Core>
#include <sbora/sbora.hpp>

using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

void test(matrix& weight, const sbora::fa_adapter<float>& adapter) {
#if defined(SBORA_COMPILE_FAIL)
  sbora::merger merger{weight};
#else
  sbora::merger merger{sbora::weight_view{weight}};
#endif
  merger.merge(adapter);
}
