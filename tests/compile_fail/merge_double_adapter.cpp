// expect: the adapter's scalar has to be what the weight computes in
// As double_adapter_over_float_weight.
#include <Eigen/Core>
#include <sbora/sbora.hpp>

#if defined(SBORA_COMPILE_FAIL)
using adapter_type = sbora::fa_adapter<double>;
#else
using adapter_type = sbora::fa_adapter<float>;
#endif

void test(Eigen::MatrixXf& weight, const adapter_type& adapter) {
  sbora::merger merger{sbora::weight_view{weight}};
  merger.merge(adapter);
}
