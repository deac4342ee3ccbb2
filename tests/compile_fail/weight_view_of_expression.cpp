// expect: a view of a temporary would dangle
// An expression has no memory to refer to.
#include <Eigen/Core>
#include <sbora/sbora.hpp>

void test(Eigen::MatrixXf& a, Eigen::MatrixXf& b) {
#if defined(SBORA_COMPILE_FAIL)
  sbora::weight_view view{a + b};
#else
  const Eigen::MatrixXf sum = a + b;
  sbora::weight_view view{sum};
#endif
  static_cast<void>(view);
}
