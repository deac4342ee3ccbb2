// expect: an executor needs a member parallel_for
#include <Eigen/Core>
#include <sbora/sbora.hpp>

using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

struct pool {
#if !defined(SBORA_COMPILE_FAIL)
  template <class Function>
  void parallel_for(sbora::index_t n, Function&& f) {
    for (sbora::index_t i = 0; i < n; ++i) f(i);
  }
#endif
};

void test(matrix& weight, const matrix& x, matrix& y, sbora::workspace& memory, pool& threads) {
  sbora::linear layer{sbora::weight_view{weight}};
  layer.forward(x, y, memory, threads);
}
