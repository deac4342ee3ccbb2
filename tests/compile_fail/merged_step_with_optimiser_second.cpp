// expect: merged_step\(merger, adapter, optimiser, learning rate
#include <Eigen/Core>
#include <sbora/sbora.hpp>

void test(sbora::merger<float>& merger, sbora::fa_adapter<float>& adapter, sbora::adamw<float>& optimiser) {
#if defined(SBORA_COMPILE_FAIL)
  sbora::merged_step(merger, optimiser, adapter, 1e-3);
#else
  sbora::merged_step(merger, adapter, optimiser, 1e-3);
#endif
}
