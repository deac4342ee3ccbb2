// expect: merging writes the weight, and this view is read-only
#include <Eigen/Core>
#include <sbora/sbora.hpp>

#if defined(SBORA_COMPILE_FAIL)
using scalar = const float;
#else
using scalar = float;
#endif

void test(scalar* weight, sbora::fa_adapter<float>& adapter) {
  sbora::merger merger{sbora::weight_view<scalar>(weight, 4, 4)};
  merger.merge(adapter);
}
