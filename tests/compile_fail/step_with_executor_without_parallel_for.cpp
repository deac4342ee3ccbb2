// expect: an executor needs a member parallel_for
// As executor_without_parallel_for.
#include <Eigen/Core>
#include <sbora/sbora.hpp>

struct pool {
#if !defined(SBORA_COMPILE_FAIL)
  template <class Function>
  void parallel_for(sbora::index_t n, Function&& f) {
    for (sbora::index_t i = 0; i < n; ++i) f(i);
  }
#endif
};

void test(sbora::fa_adapter<float>& adapter, sbora::adamw<float>& optimiser, pool& threads) {
  optimiser.step(adapter.parameters(), adapter.gradient(), 1e-3, threads);
}
