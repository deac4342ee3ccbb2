// expect: the adapter's scalar has to be what the weight computes in
#include <Eigen/Core>
#include <sbora/sbora.hpp>

void test(sbora::overlay<float>& merged, sbora::fa_adapter<double>& other, sbora::fa_adapter<float>& adapter) {
#if defined(SBORA_COMPILE_FAIL)
  static_cast<void>(adapter);
  merged.merge(other);
#else
  static_cast<void>(other);
  merged.merge(adapter);
#endif
}
