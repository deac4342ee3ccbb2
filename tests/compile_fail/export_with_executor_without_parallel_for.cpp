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

void test(const sbora::four_bit_view& codes, sbora::weight_view<float> out, pool& threads) {
  sbora::export_merged(codes, {}, out, threads);
}
