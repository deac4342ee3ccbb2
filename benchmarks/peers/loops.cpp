/// Compiled twice: LOOP_PREFIX is loop_auto or loop_scalar, with different flags.
#include "peers.hpp"

#define LOOP_JOIN_(prefix, name) prefix##_##name
#define LOOP_JOIN(prefix, name) LOOP_JOIN_(prefix, name)
#define LOOP(name) LOOP_JOIN(LOOP_PREFIX, name)

extern "C" {

void LOOP(merge_columns)(float* __restrict__ w, float* __restrict__ originals, const float* __restrict__ b,
                         const std::ptrdiff_t* __restrict__ columns, std::ptrdiff_t d_out, std::ptrdiff_t d_in,
                         std::ptrdiff_t rank, float scale) {
  for (std::ptrdiff_t row = 0; row < d_out; ++row) {
    for (std::ptrdiff_t j = 0; j < rank; ++j) {
      float& value = w[row * d_in + columns[j]];
      originals[row * rank + j] = value;
      value += scale * b[row * rank + j];
    }
  }
}

void LOOP(merge_rows)(float* __restrict__ w, float* __restrict__ originals, const float* __restrict__ a,
                      const std::ptrdiff_t* __restrict__ rows, std::ptrdiff_t d_in, std::ptrdiff_t rank, float scale) {
  for (std::ptrdiff_t i = 0; i < rank; ++i) {
    float* __restrict__ target = w + rows[i] * d_in;
    for (std::ptrdiff_t k = 0; k < d_in; ++k) {
      originals[i * d_in + k] = target[k];
      target[k] += scale * a[i * d_in + k];
    }
  }
}

void LOOP(gather_columns)(const float* __restrict__ from, float* __restrict__ to,
                          const std::ptrdiff_t* __restrict__ columns, std::ptrdiff_t rows, std::ptrdiff_t stride,
                          std::ptrdiff_t rank) {
  for (std::ptrdiff_t row = 0; row < rows; ++row) {
    for (std::ptrdiff_t j = 0; j < rank; ++j) to[row * rank + j] = from[row * stride + columns[j]];
  }
}

void LOOP(scatter_add_columns)(const float* __restrict__ from, float* __restrict__ to,
                               const std::ptrdiff_t* __restrict__ columns, std::ptrdiff_t rows, std::ptrdiff_t stride,
                               std::ptrdiff_t rank) {
  for (std::ptrdiff_t row = 0; row < rows; ++row) {
    for (std::ptrdiff_t j = 0; j < rank; ++j) to[row * stride + columns[j]] += from[row * rank + j];
  }
}

void LOOP(adamw)(float* __restrict__ w, const float* __restrict__ g, float* __restrict__ m, float* __restrict__ v,
                 std::ptrdiff_t count, float lr, float beta1, float beta2, float epsilon, float decay, float step1,
                 float root2) {
  for (std::ptrdiff_t i = 0; i < count; ++i) {
    m[i] = beta1 * m[i] + (1 - beta1) * g[i];
    v[i] = beta2 * v[i] + (1 - beta2) * g[i] * g[i];
    const float denominator = __builtin_sqrtf(v[i]) / root2 + epsilon;
    w[i] = w[i] * (1 - lr * decay) - step1 * m[i] / denominator;
  }
}

}  // extern "C"
