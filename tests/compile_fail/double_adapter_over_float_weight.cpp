// expect: the adapter's scalar has to be what the weight computes in
#include <Eigen/Core>
#include <sbora/sbora.hpp>

using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
#if defined(SBORA_COMPILE_FAIL)
using adapter_type = sbora::fa_adapter<double>;
#else
using adapter_type = sbora::fa_adapter<float>;
#endif

void test(matrix& weight, const matrix& x, matrix& y, const adapter_type& adapter, sbora::workspace& memory) {
  sbora::linear layer{sbora::weight_view{weight}};
  layer.forward(x, y, adapter, memory);
}
