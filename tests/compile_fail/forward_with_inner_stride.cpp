// expect: inner stride
// Kernels read whole vectors from a token's features, so those must be contiguous.
#include <Eigen/Core>
#include <sbora/sbora.hpp>

using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
#if defined(SBORA_COMPILE_FAIL)
using stride = Eigen::Stride<Eigen::Dynamic, 2>;
#else
using stride = Eigen::OuterStride<>;
#endif

template <class Weight>
void test(const sbora::linear<Weight>& layer, const Eigen::Map<const matrix, 0, stride>& x, matrix& y,
          sbora::workspace& memory) {
  layer.forward(x, y, memory);
}
template void test(const sbora::linear<const float>&, const Eigen::Map<const matrix, 0, stride>&, matrix&,
                   sbora::workspace&);
