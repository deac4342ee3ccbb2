// expect: deleted
// What adapters hand out refers to them.
#include <Eigen/Core>
#include <sbora/sbora.hpp>

void test() {
#if defined(SBORA_COMPILE_FAIL)
  const auto delta = sbora::fa_adapter<float>(4, 4, sbora::sample_region(4, 2, 1)).delta();
#else
  const sbora::fa_adapter<float> adapter(4, 4, sbora::sample_region(4, 2, 1));
  const auto delta = adapter.delta();
#endif
  static_cast<void>(delta);
}
