// expect: an executor needs a member parallel_for
#include <Eigen/Core>
#include <sbora/quantized.hpp>

struct pool {
#if !defined(SBORA_COMPILE_FAIL)
  template <class Function>
  void parallel_for(sbora::index_t n, Function&& f) {
    for (sbora::index_t i = 0; i < n; ++i) f(i);
  }
#endif
};

void test(sbora::weight_view<float> weight, pool& threads) {
  const sbora::four_bit_weight codes(weight, {.nested = true}, threads);
  static_cast<void>(codes);
}
