#include "peers.hpp"

#include <Eigen/Core>

namespace {

using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using view = Eigen::Map<matrix>;
using const_view = Eigen::Map<const matrix>;

/// One token is a matrix-vector product, which Eigen only takes its faster path for if the type says so.
void product_transposed(const float* x, const float* w, float* y, std::ptrdiff_t tokens, std::ptrdiff_t d_out,
                        std::ptrdiff_t d_in) {
  const const_view weight(w, d_out, d_in);
  if (tokens == 1) {
    Eigen::Map<Eigen::VectorXf>(y, d_out).noalias() = weight * Eigen::Map<const Eigen::VectorXf>(x, d_in);
  } else {
    view(y, tokens, d_out).noalias() = const_view(x, tokens, d_in) * weight.transpose();
  }
}

void product(const float* dy, const float* w, float* dx, std::ptrdiff_t tokens, std::ptrdiff_t d_out,
             std::ptrdiff_t d_in) {
  const const_view weight(w, d_out, d_in);
  if (tokens == 1) {
    Eigen::Map<Eigen::RowVectorXf>(dx, d_in).noalias() = Eigen::Map<const Eigen::RowVectorXf>(dy, d_out) * weight;
  } else {
    view(dx, tokens, d_in).noalias() = const_view(dy, tokens, d_out) * weight;
  }
}

}  // namespace

extern "C" {

int eigen_available(int threads) {
#if defined(_OPENMP)
  Eigen::setNbThreads(threads);
  return 1;
#else
  return threads == 1 ? 1 : 0;
#endif
}

void eigen_lora_merge(float* w, const float* b, const float* a, std::ptrdiff_t d_out, std::ptrdiff_t d_in,
                      std::ptrdiff_t rank, float scale) {
  view(w, d_out, d_in).noalias() += scale * const_view(b, d_out, rank) * const_view(a, rank, d_in);
}

void eigen_forward(const float* x, const float* w, float* y, std::ptrdiff_t tokens, std::ptrdiff_t d_out,
                   std::ptrdiff_t d_in) {
  product_transposed(x, w, y, tokens, d_out, d_in);
}

void eigen_backward(const float* dy, const float* w, float* dx, std::ptrdiff_t tokens, std::ptrdiff_t d_out,
                    std::ptrdiff_t d_in) {
  product(dy, w, dx, tokens, d_out, d_in);
}

void eigen_lora_forward(const float* x, const float* w, const float* a, const float* b, float* h, float* y,
                        std::ptrdiff_t tokens, std::ptrdiff_t d_out, std::ptrdiff_t d_in, std::ptrdiff_t rank,
                        float scale) {
  product_transposed(x, w, y, tokens, d_out, d_in);
  product_transposed(x, a, h, tokens, rank, d_in);
  view(y, tokens, d_out).noalias() += scale * const_view(h, tokens, rank) * const_view(b, d_out, rank).transpose();
}

void eigen_lora_backward(const float* dy, const float* x, const float* w, const float* a, const float* b,
                         const float* h, float* dh, float* da, float* db, float* dx, std::ptrdiff_t tokens,
                         std::ptrdiff_t d_out, std::ptrdiff_t d_in, std::ptrdiff_t rank, float scale) {
  const const_view grad_y(dy, tokens, d_out);
  view grad_h(dh, tokens, rank);
  view(db, d_out, rank).noalias() += scale * grad_y.transpose() * const_view(h, tokens, rank);
  grad_h.noalias() = scale * grad_y * const_view(b, d_out, rank);
  view(da, rank, d_in).noalias() += grad_h.transpose() * const_view(x, tokens, d_in);
  product(dy, w, dx, tokens, d_out, d_in);
  view(dx, tokens, d_in).noalias() += grad_h * const_view(a, rank, d_in);
}

const char* eigen_instruction_sets() { return Eigen::SimdInstructionSetsInUse(); }

}  // extern "C"
