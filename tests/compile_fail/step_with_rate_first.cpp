// expect: step\(parameters, gradient, learning rate
#include <Eigen/Core>
#include <sbora/sbora.hpp>

void test(sbora::sgd<float>& optimiser, sbora::fa_adapter<float>& adapter) {
#if defined(SBORA_COMPILE_FAIL)
  optimiser.step(1e-3, adapter.parameters(), adapter.gradient());
#else
  optimiser.step(adapter.parameters(), adapter.gradient(), 1e-3);
#endif
}
