// expect: the adapter's scalar has to be what the weight computes in
#include <Eigen/Core>
#include <sbora/sbora.hpp>

void test(sbora::merger<float>& merger, sbora::fa_adapter<float>& adapter, sbora::fb_adapter<double>& other,
          sbora::fb_adapter<float>& next) {
#if defined(SBORA_COMPILE_FAIL)
  static_cast<void>(next);
  merger.swap(adapter, other);
#else
  static_cast<void>(other);
  merger.swap(adapter, next);
#endif
}
