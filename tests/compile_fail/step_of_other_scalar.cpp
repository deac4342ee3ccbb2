// expect: step\(parameters, gradient, learning rate
#include <Eigen/Core>
#include <sbora/sbora.hpp>

void test(sbora::adamw<float>& optimiser, sbora::fa_adapter<double>& other, sbora::fa_adapter<float>& adapter) {
#if defined(SBORA_COMPILE_FAIL)
  static_cast<void>(adapter);
  optimiser.step(other.parameters(), other.gradient(), 1e-3);
#else
  static_cast<void>(other);
  optimiser.step(adapter.parameters(), adapter.gradient(), 1e-3);
#endif
}
