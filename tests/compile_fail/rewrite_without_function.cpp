// expect: rewrite\(adapter, before\)
#include <Eigen/Core>
#include <sbora/sbora.hpp>

void test(sbora::merger<float>& merger, sbora::fa_adapter<float>& adapter) {
#if defined(SBORA_COMPILE_FAIL)
  merger.rewrite(adapter, sbora::serial_executor());
#else
  merger.rewrite(
      adapter, [](sbora::index_t, sbora::index_t) {}, sbora::serial_executor());
#endif
}
