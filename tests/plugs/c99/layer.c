/* c.h in a C99 program: an adapter learns a target, is merged and taken out again. */
#include <sbora/plugs/c.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { d_out = 12, d_in = 10, rank = 3, tokens = 8 };

static int failures = 0;

static void expect(int holds, const char* what) {
  if (holds) return;
  printf("doesn't hold: %s; the last error: %s\n", what, sbora_last_error());
  ++failures;
}

static float number(int i) { return (float)sin(1.7 * i + 0.3); }

/* Squared error of y, and its gradient as dy. */
static float error_of(const float* y, const float* target, float* dy) {
  float sum = 0;
  for (int i = 0; i < tokens * d_out; ++i) {
    dy[i] = (y[i] - target[i]) / tokens;
    sum += (y[i] - target[i]) * (y[i] - target[i]);
  }
  return sum / tokens;
}

/* README's block: it has to leave no error. */
static void readme(void) {
  static float w[256 * 128], x[32 * 128], y[32 * 256], dy[32 * 256];
  for (int i = 0; i < 32 * 128; ++i) x[i] = number(i);
  for (int i = 0; i < 32 * 256; ++i) dy[i] = number(i);
#include "readme.inc"
  expect(sbora_last_error()[0] == '\0', "README's block runs");
}

int main(void) {
  readme();
  static float w[d_out * d_in], before[d_out * d_in], x[tokens * d_in], y[tokens * d_out], again[tokens * d_out],
      target[tokens * d_out], dy[tokens * d_out], dx[tokens * d_in];
  for (int i = 0; i < d_out * d_in; ++i) before[i] = w[i] = number(i);
  for (int i = 0; i < tokens * d_in; ++i) x[i] = number(1000 + i);

  const int64_t columns[rank] = {7, 0, 4};
  const sbora_matrix weight = {w, d_out, d_in, 0, sbora_f32}, in = {x, tokens, d_in, 0, sbora_f32},
                     out = {y, tokens, d_out, 0, sbora_f32}, d_y = {dy, tokens, d_out, 0, sbora_f32},
                     d_x = {dx, tokens, d_in, 0, sbora_f32};
  const sbora_adamw_rates rates = {1e-2, 0.9, 0.999, 1e-8, 0};
  sbora_adapter* adapter = NULL;
  expect(sbora_adapter_new(sbora_fa, d_out, d_in, rank, 2 * rank, columns, 0, &adapter) == sbora_ok, "a new adapter");
  expect(sbora_adapter_rank(adapter) == rank && sbora_adapter_parameter_count(adapter) == d_out * rank, "its sizes");
  expect(memcmp(sbora_adapter_indices(adapter), columns, sizeof columns) == 0, "its columns");

  /* A target that other columns' values give. */
  for (int i = 0; i < d_out; ++i) w[i * d_in + 4] += number(5000 + i);
  expect(sbora_forward(adapter, &weight, NULL, &in, &out, 0, NULL) == sbora_ok, "a forward");
  memcpy(target, y, sizeof y);
  memcpy(w, before, sizeof w);

  float first = 0, last = 0;
  for (int step = 0; step < 200; ++step) {
    expect(sbora_forward(adapter, &weight, NULL, &in, &out, 1, NULL) == sbora_ok, "a training forward");
    last = error_of(y, target, dy);
    if (step == 0) first = last;
    expect(sbora_zero_gradient(adapter) == sbora_ok, "zeroing the gradient");
    expect(sbora_backward(adapter, &weight, &d_y, &d_x, NULL) == sbora_ok, "a backward");
    expect(sbora_adamw_step(adapter, &rates, NULL) == sbora_ok, "a step");
  }
  expect(last < 0.01F * first, "the target is learned");

  expect(sbora_merge(adapter, &weight, NULL) == sbora_ok, "merging");
  expect(memcmp(w, before, sizeof w) != 0, "merging writes the weight");
  const sbora_matrix merged_out = {again, tokens, d_out, 0, sbora_f32};
  expect(sbora_forward(adapter, &weight, NULL, &in, &merged_out, 0, NULL) == sbora_ok, "a forward while merged");
  expect(fabs(error_of(again, target, dy) - last) < 1e-3 * first, "merged, it is the same");
  expect(sbora_merge(adapter, &weight, NULL) == sbora_wrong_order, "merging twice is refused");
  expect(strstr(sbora_last_error(), "unmerge") != NULL, "and the error says what helps");
  expect(sbora_unmerge(adapter, NULL) == sbora_ok, "unmerging");
  expect(memcmp(w, before, sizeof w) == 0, "the weight is as before");
  sbora_adapter_free(adapter);
  return failures;
}
