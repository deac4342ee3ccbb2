// expect: an executor needs a member parallel_for
#include <Eigen/Core>
#include <sbora/weights/convert.hpp>

struct pool {
#if !defined(SBORA_COMPILE_FAIL)
  template <class Function>
  void parallel_for(sbora::index_t n, Function&& f) {
    for (sbora::index_t i = 0; i < n; ++i) f(i);
  }
#endif
};

void test(std::span<const float> source, std::span<Eigen::half> out, pool& threads) {
  sbora::convert(source, out, threads);
}
