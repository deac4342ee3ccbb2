#include "peers.hpp"

#include <cblas.h>

/// One token is a matrix-vector product: sgemm takes twice as long for it.
extern "C" {

int openblas_available(int threads) {
  openblas_set_num_threads(threads);
  return 1;
}

void openblas_forward(const float* x, const float* w, float* y, std::ptrdiff_t tokens, std::ptrdiff_t d_out,
                      std::ptrdiff_t d_in) {
  const auto n = static_cast<blasint>(tokens), out = static_cast<blasint>(d_out), in = static_cast<blasint>(d_in);
  if (n == 1) cblas_sgemv(CblasRowMajor, CblasNoTrans, out, in, 1, w, in, x, 1, 0, y, 1);
  else cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, n, out, in, 1, x, in, w, in, 0, y, out);
}

void openblas_backward(const float* dy, const float* w, float* dx, std::ptrdiff_t tokens, std::ptrdiff_t d_out,
                       std::ptrdiff_t d_in) {
  const auto n = static_cast<blasint>(tokens), out = static_cast<blasint>(d_out), in = static_cast<blasint>(d_in);
  if (n == 1) cblas_sgemv(CblasRowMajor, CblasTrans, out, in, 1, w, in, dy, 1, 0, dx, 1);
  else cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, in, out, 1, dy, out, w, in, 0, dx, in);
}

}  // extern "C"
