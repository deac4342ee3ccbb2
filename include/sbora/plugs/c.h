#pragma once

/* sbora for other languages: one adapter over one frozen weight, on memory of the caller's. C99; link sbora::c, or
   compile <sbora/plugs/instances.hpp> in one C++ unit.

   Every function that can fail returns a status and says why in sbora_last_error(); after a failure all is as it was.
   No exception crosses this border. */

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How a call ended. The groups are those of sbora's exceptions. */
typedef enum sbora_status {
  sbora_ok = 0,
  sbora_wrong_argument = 1, /* a null pointer, or a number that names nothing */
  sbora_wrong_shape = 2,    /* sizes, strides or types that don't fit together */
  sbora_wrong_region = 3,   /* indices that aren't `rank` distinct ones of the weight's columns (FA) or rows (FB) */
  sbora_wrong_option = 4,   /* an option outside its range */
  sbora_wrong_order = 5,    /* merging what is merged, unmerging what isn't, training while merged */
  sbora_not_finite = 6,     /* merging would leave an infinity or a NaN */
  sbora_no_memory = 7,
  sbora_failed = 8 /* anything else */
} sbora_status;

enum sbora_kind { sbora_fa = 0, sbora_fb = 1 };
enum sbora_type { sbora_f32 = 0, sbora_bf16 = 1 };

/* rows x cols numbers of the caller's; element (i, j) is number i * stride + j of data. A weight is d_out x d_in,
   activations are tokens x features. What a call only reads may be const memory. */
typedef struct sbora_matrix {
  void* data;
  int64_t rows;
  int64_t cols;
  int64_t stride; /* at least cols; 0: cols */
  int32_t type;   /* sbora_f32 or sbora_bf16 */
} sbora_matrix;

/* torch.optim.AdamW's. Ranges: adamw_options in optimisers/adamw_options.hpp. */
typedef struct sbora_adamw_rates {
  double learning_rate;
  double beta1;
  double beta2;
  double epsilon;
  double weight_decay;
} sbora_adamw_rates;

typedef struct sbora_adapter sbora_adapter;
typedef struct sbora_threads sbora_threads;

/* Why the last call of this thread failed: empty if none did. Lifetime: until this thread's next call that fails. */
const char* sbora_last_error(void);

/* Threads for the calls that are given them; `count` includes the calling one. NULL in their place: that one alone.
   Requires: count >= 1. Thread: calls may share them; the second at a time then runs on its own thread.
   Errors: sbora_wrong_option, sbora_failed. */
sbora_status sbora_threads_new(int32_t count, sbora_threads** threads);
void sbora_threads_free(sbora_threads* threads);

/* A new adapter for weights of d_out x d_in, zero: it changes nothing yet. `kind` is sbora_fa or sbora_fb.

   Effect    W + (alpha / rank) * B * A. FA: `indices` are columns of W, B (d_out x rank) is trained. FB: rows, A
             (rank x d_in) is trained.
   Requires  `rank` distinct indices, or NULL: they are drawn from `seed`, the same everywhere.
   Cost      2 * parameter_count numbers and 3 * rank indices.
   Thread    one call at a time for each adapter.
   Errors    sbora_wrong_argument, sbora_wrong_shape, sbora_wrong_region, sbora_wrong_option. */
sbora_status sbora_adapter_new(int32_t kind, int64_t d_out, int64_t d_in, int64_t rank, double alpha,
                               const int64_t* indices, uint64_t seed, sbora_adapter** adapter);
void sbora_adapter_free(sbora_adapter* adapter);

/* Of NULL: 0 or NULL. Pointers stay valid until sbora_adapter_free and may be read and written between calls;
   parameters and gradient are row-major, index j of the region is column (FA) or row (FB) j of them. */
int64_t sbora_adapter_rank(const sbora_adapter* adapter);
int64_t sbora_adapter_parameter_count(const sbora_adapter* adapter);
const int64_t* sbora_adapter_indices(const sbora_adapter* adapter);
float* sbora_adapter_parameters(sbora_adapter* adapter);
float* sbora_adapter_gradient(sbora_adapter* adapter);

/* y = x * (W + s * B * A)^T + bias.

   Shapes    x: tokens x d_in, y: tokens x d_out, of one type, which needn't be the weight's; bias: d_out or NULL.
   Effect    With `training` not 0 what sbora_backward needs is kept: of FA's x the rank columns, of FB's the pointer,
             so x has to stay as it is until then. While the adapter is merged: x * W^T + bias, for W has it.
   Aliasing  y must not overlap x, the weight or the bias; it is overwritten.
   Cost      2 * tokens * d_in * d_out flops and a few percent; memory is allocated at first use, then none.
   Numerics  accumulates in float; the same bits for any number of threads.
   Errors    sbora_wrong_argument, sbora_wrong_shape; sbora_wrong_order for training while merged. */
sbora_status sbora_forward(sbora_adapter* adapter, const sbora_matrix* weight, const float* bias, const sbora_matrix* x,
                           const sbora_matrix* y, int32_t training, sbora_threads* threads);

/* gradient += the adapter's gradient; dx = dy * (W + s * B * A).

   Shapes    dy: tokens x d_out and dx: tokens x d_in as the last training forward's x in tokens and type. dx NULL:
             the gradient alone.
   Requires  a training forward before it: checked. sbora_zero_gradient between steps.
   Aliasing, cost, numerics: as sbora_forward.
   Errors    sbora_wrong_argument, sbora_wrong_shape; sbora_wrong_order while merged. */
sbora_status sbora_backward(sbora_adapter* adapter, const sbora_matrix* weight, const sbora_matrix* dy,
                            const sbora_matrix* dx, sbora_threads* threads);
sbora_status sbora_zero_gradient(sbora_adapter* adapter);

/* One step of AdamW over the parameters, from the gradient; `rates` may change from step to step.

   Cost      the first one allocates 2 * parameter_count numbers.
   Errors    sbora_wrong_argument, sbora_wrong_option. */
sbora_status sbora_adamw_step(sbora_adapter* adapter, const sbora_adamw_rates* rates, sbora_threads* threads);

/* W += s * B * A in the weight's memory, on the region alone; unmerge writes back what was there, to the last bit.

   Lifetime  the weight's memory has to stay, and nobody else may write the region, until it is unmerged. Freeing the
             adapter leaves the weight merged.
   Cost      reads and writes the region once and keeps its originals, parameter_count numbers of the weight's type.
   Errors    sbora_wrong_argument, sbora_wrong_shape, sbora_wrong_order, sbora_not_finite. */
sbora_status sbora_merge(sbora_adapter* adapter, const sbora_matrix* weight, sbora_threads* threads);
sbora_status sbora_unmerge(sbora_adapter* adapter, sbora_threads* threads);

#ifdef __cplusplus
}
#endif
