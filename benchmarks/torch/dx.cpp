// dx = dy·W of a frozen layer, behind a C function, for dx.py to time beside PyTorch's in one process. All matrices
// row-major float without gaps; w: d_out x d_in, dy: tokens x d_out, dx: tokens x d_in.

#include <cstdint>

#include <Eigen/Core>

#include <sbora/sbora.hpp>

extern "C" {

void frozen_dx(std::int64_t d_out, std::int64_t d_in, std::int64_t tokens, const float* w, const float* dy, float* dx) {
  using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  static sbora::workspace memory;
  const sbora::linear layer(sbora::weight_view<const float>(w, d_out, d_in));
  Eigen::Map<matrix> result(dx, tokens, d_in);
  layer.backward(Eigen::Map<const matrix>(dy, tokens, d_out), result, memory);
}

}  // extern "C"
