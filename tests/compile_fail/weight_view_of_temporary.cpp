// expect: a view of a temporary would dangle
// A weight_view refers to its matrix; one of a temporary would dangle at once.
#include <Eigen/Core>
#include <sbora/sbora.hpp>

using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

void test() {
#if defined(SBORA_COMPILE_FAIL)
  sbora::weight_view view{matrix(4, 4)};
#else
  matrix weight(4, 4);
  sbora::weight_view view{weight};
#endif
  static_cast<void>(view);
}
