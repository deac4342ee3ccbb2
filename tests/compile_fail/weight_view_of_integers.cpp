// expect: the scalar has to be float, double, Eigen::bfloat16 or Eigen::half
// Weights of integers are quantised ones, with views of their own.
#include <Eigen/Core>
#include <sbora/sbora.hpp>

#if defined(SBORA_COMPILE_FAIL)
using scalar = int;
#else
using scalar = float;
#endif

void test(Eigen::Matrix<scalar, Eigen::Dynamic, Eigen::Dynamic>& weight) {
  sbora::weight_view view{weight};
  static_cast<void>(view);
}
