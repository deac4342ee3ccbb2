#pragma once

/// The baselines. C functions over pointers, so that each can be compiled with flags of its own:
///
///   eigen_*       Eigen's products, -O3 -march=native, in a shared library that hides everything else.
///                 (Were they linked in directly, the linker would keep one copy of each of Eigen's
///                 inline functions: the AVX one for all, or the SSE one for all.)
///   openblas_*    OpenBLAS's sgemm and sgemv, where libopenblas-dev is installed
///   onednn_*      oneDNN's matmul, where libdnnl-dev is installed
///   peak_*        multiply-adds on registers, -O3 -march=native
///   loop_auto_*   plain loops, -O3 -march=native -fno-math-errno: what the compiler makes of them
///   loop_scalar_* the same source, -fno-tree-vectorize: the honest "scalar"
///
/// Matrices are row-major and contiguous.

#include <cstddef>
#include <cstdint>

#define BENCH_EXPORT __attribute__((visibility("default")))

extern "C" {

/// W += scale * B A: a dense LoRA merge in one product, no temporary. W d_out x d_in, B d_out x rank.
BENCH_EXPORT void eigen_lora_merge(float* w, const float* b, const float* a, std::ptrdiff_t d_out, std::ptrdiff_t d_in,
                                   std::ptrdiff_t rank, float scale);

/// Y = X Wᵀ: the frozen (or merged) layer. X tokens x d_in.
BENCH_EXPORT void eigen_forward(const float* x, const float* w, float* y, std::ptrdiff_t tokens, std::ptrdiff_t d_out,
                                std::ptrdiff_t d_in);

/// dX = dY W.
BENCH_EXPORT void eigen_backward(const float* dy, const float* w, float* dx, std::ptrdiff_t tokens,
                                 std::ptrdiff_t d_out, std::ptrdiff_t d_in);

/// Y = X Wᵀ + scale (X Aᵀ) Bᵀ: dense LoRA. h is tokens x rank, scratch and what backward needs.
BENCH_EXPORT void eigen_lora_forward(const float* x, const float* w, const float* a, const float* b, float* h, float* y,
                                     std::ptrdiff_t tokens, std::ptrdiff_t d_out, std::ptrdiff_t d_in,
                                     std::ptrdiff_t rank, float scale);

/// dB += scale dYᵀ h, dh = scale dY B, dA += dhᵀ X, dX = dY W + dh A.
BENCH_EXPORT void eigen_lora_backward(const float* dy, const float* x, const float* w, const float* a, const float* b,
                                      const float* h, float* dh, float* da, float* db, float* dx, std::ptrdiff_t tokens,
                                      std::ptrdiff_t d_out, std::ptrdiff_t d_in, std::ptrdiff_t rank, float scale);

/// The instruction sets Eigen was compiled for, e.g. "AVX SSE, SSE2, ... FMA".
BENCH_EXPORT const char* eigen_instruction_sets();

/// The peers on `threads` threads from now on; 0 where one isn't installed or can't. OpenMP's, and so bound to the
/// cores that the calling thread may use then.
BENCH_EXPORT int eigen_available(int threads);
BENCH_EXPORT int openblas_available(int threads);
BENCH_EXPORT int onednn_available(int threads);
BENCH_EXPORT int onednn_bf16_available(int threads);

/// Y = X Wᵀ and dX = dY W, as eigen_forward and eigen_backward.
BENCH_EXPORT void openblas_forward(const float* x, const float* w, float* y, std::ptrdiff_t tokens,
                                   std::ptrdiff_t d_out, std::ptrdiff_t d_in);
BENCH_EXPORT void openblas_backward(const float* dy, const float* w, float* dx, std::ptrdiff_t tokens,
                                    std::ptrdiff_t d_out, std::ptrdiff_t d_in);
BENCH_EXPORT void onednn_forward(const float* x, const float* w, float* y, std::ptrdiff_t tokens, std::ptrdiff_t d_out,
                                 std::ptrdiff_t d_in);
BENCH_EXPORT void onednn_backward(const float* dy, const float* w, float* dx, std::ptrdiff_t tokens,
                                  std::ptrdiff_t d_out, std::ptrdiff_t d_in);
/// With everything in bf16.
BENCH_EXPORT void onednn_forward_bf16(const void* x, const void* w, void* y, std::ptrdiff_t tokens,
                                      std::ptrdiff_t d_out, std::ptrdiff_t d_in);
BENCH_EXPORT void onednn_backward_bf16(const void* dy, const void* w, void* dx, std::ptrdiff_t tokens,
                                       std::ptrdiff_t d_out, std::ptrdiff_t d_in);

/// Writes one element of every touched cache line, four rows at a time, column by column, fetched
/// ahead: the least that a merge of these columns can do.
BENCH_EXPORT void touch_columns(float* w, const std::ptrdiff_t* columns, std::ptrdiff_t d_out, std::ptrdiff_t d_in,
                                std::ptrdiff_t rank);

/// Does multiply-adds on registers, and returns how many flops; 0 where the machine has no such
/// instruction.
BENCH_EXPORT double peak_f32();
BENCH_EXPORT double peak_bf16();
/// The sum of count words, a multiple of 4096: a sweep that reads as fast as one core can.
BENCH_EXPORT std::uint64_t read_words(const std::uint64_t* words, std::size_t count);

#define BENCH_LOOPS(prefix)                                                                                           \
  /* w[o][columns[j]] += scale * b[o][j], originals[o][j] = the old value */                                          \
  void prefix##_merge_columns(float* w, float* originals, const float* b, const std::ptrdiff_t* columns,              \
                              std::ptrdiff_t d_out, std::ptrdiff_t d_in, std::ptrdiff_t rank, float scale);           \
  /* w[rows[i]][k] += scale * a[i][k], originals[i][k] = the old value */                                             \
  void prefix##_merge_rows(float* w, float* originals, const float* a, const std::ptrdiff_t* rows,                    \
                           std::ptrdiff_t d_in, std::ptrdiff_t rank, float scale);                                    \
  /* to[t][j] = from[t][columns[j]] */                                                                                \
  void prefix##_gather_columns(const float* from, float* to, const std::ptrdiff_t* columns, std::ptrdiff_t rows,      \
                               std::ptrdiff_t stride, std::ptrdiff_t rank);                                           \
  /* to[t][columns[j]] += from[t][j] */                                                                               \
  void prefix##_scatter_add_columns(const float* from, float* to, const std::ptrdiff_t* columns, std::ptrdiff_t rows, \
                                    std::ptrdiff_t stride, std::ptrdiff_t rank);                                      \
  /* one AdamW step as torch.optim.AdamW; step1 = lr / (1 - beta1^t), root2 = sqrt(1 - beta2^t) */                    \
  void prefix##_adamw(float* w, const float* g, float* m, float* v, std::ptrdiff_t count, float lr, float beta1,      \
                      float beta2, float epsilon, float decay, float step1, float root2);

BENCH_LOOPS(loop_auto)
BENCH_LOOPS(loop_scalar)

}  // extern "C"
