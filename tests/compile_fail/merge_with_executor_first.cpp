// expect: what is merged is an adapter, .*an executor comes last
#include <Eigen/Core>
#include <sbora/sbora.hpp>

void test(sbora::merger<float>& merger, sbora::fa_adapter<float>& adapter) {
#if defined(SBORA_COMPILE_FAIL)
  merger.merge(sbora::serial_executor(), adapter);
#else
  merger.merge(adapter, sbora::serial_executor());
#endif
}
