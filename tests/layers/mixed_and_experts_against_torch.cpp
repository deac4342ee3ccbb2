// Batches of several adapters and stacks of experts: PyTorch's values, by autograd.

#include <sbora/layers/grouped_linear.hpp>
#include <sbora/layers/linear.hpp>
#include <sbora/layers/mixed.hpp>

#include "support/catch.hpp"
#include "support/layer_problem.hpp"

using namespace sbora_tests;

namespace {

constexpr index_t d_out = 4, d_in = 5;

// Made by PyTorch 2.13 in float64: x @ W.T, plus s·x[columns] @ B.T or index_add(rows, s·A @ x) where the token has the
// adapter; y.backward(dy). All are multiples of powers of two that float adds and multiplies exactly.

std::vector<float> copy(std::span<const float> values) { return {values.begin(), values.end()}; }

template <class T>
sbora::activation_view<T> rows_of(std::vector<T>& values, index_t features) {
  return {values.data(), std::ssize(values) / features, features};
}
sbora::activation_view<const float> rows_of(const std::vector<float>& values, index_t features) {
  return {values.data(), std::ssize(values) / features, features};
}

/// FA on columns 3 and 1 with scale 1/2, FB on rows 2 and 0 with scale 2.
struct two_adapters {
  sbora::fa_adapter<float> fa{d_out, d_in, sbora::region(d_in, {3, 1}), {.alpha = 1}};
  sbora::fb_adapter<float> fb{d_out, d_in, sbora::region(d_out, {2, 0}), {.alpha = 4}};

  two_adapters(const std::vector<float>& b, const std::vector<float>& a) {
    std::copy(b.begin(), b.end(), fa.parameters().begin());
    std::copy(a.begin(), a.end(), fb.parameters().begin());
  }
};

}  // namespace

TEST_CASE("tokens with one adapter, another, both or none") {
  const std::vector<float> w = {-1.625F, -0.25F, -0.125F, 1.625F, -1.25F, 0.75F, 0.0F,    -0.875F, -1.0F,   -1.5F,
                                -1.125F, 1.75F,  1.375F,  0.0F,   1.75F,  0.0F,  -1.125F, -0.5F,   -0.125F, 0.125F};
  const std::vector<float> x = {0.625F, -1.125F, 0.0F,   1.375F,  -0.5F, -0.375F, -0.625F, -1.875F, -0.125F, 1.75F,
                                0.5F,   0.75F,   1.625F, 0.25F,   1.75F, 1.125F,  -0.875F, -0.75F,  -0.875F, -0.875F,
                                1.75F,  -1.875F, 0.25F,  -1.125F, 0.0F,  -0.25F,  -1.375F, 1.25F,   -2.0F,   0.0F};
  const std::vector<float> dy = {-1.5F,   -0.25F, -1.5F,   -0.875F, 0.375F, 1.375F, 1.875F,  -1.75F,
                                 -1.5F,   -1.25F, -0.875F, 0.375F,  0.375F, 0.25F,  0.125F,  0.625F,
                                 -1.125F, -1.5F,  -0.5F,   -0.375F, 1.75F,  1.75F,  -0.625F, -0.625F};
  const std::vector<float> b = {-1.625F, 1.5F, -1.875F, 0.875F, -1.625F, 1.375F, -0.25F, 1.375F};
  const std::vector<float> a = {1.625F, -1.875F, 1.125F, 0.625F, -1.125F, 0.0F, 1.75F, -0.25F, 1.25F, 1.875F};
  const std::vector<float> y = {0.1640625F,  -1.9375F, -5.4375F,   0.0859375F, 3.609375F,   -1.140625F,
                                -7.375F,     1.875F,   -2.984375F, -3.921875F, 6.046875F,   -1.46875F,
                                -9.9453125F, 4.125F,   0.875F,     0.8671875F, -13.734375F, 2.21875F,
                                6.96875F,    2.125F,   -2.0625F,   1.9921875F, 0.2734375F,  0.4765625F};
  const std::vector<float> dx = {3.9375F,    -4.1328125F, -1.21875F,  0.703125F,  -0.484375F,  4.40625F,
                                 -0.5625F,   6.234375F,   2.734375F,  -2.28125F,  2.484375F,   -1.578125F,
                                 -0.109375F, -1.234375F,  2.265625F,  -0.15625F,  1.171875F,   -0.3125F,
                                 0.65625F,   0.578125F,   -0.359375F, -2.234375F, 0.390625F,   -3.71875F,
                                 -0.359375F, -0.828125F,  0.390625F,  -2.296875F, -1.3046875F, -5.984375F};
  const std::vector<float> b_gradient = {-2.9453125F, -0.5234375F, -2.03125F, -1.171875F,
                                         -0.4609375F, 1.21875F,    -0.25F,    0.6484375F};
  const std::vector<float> a_gradient = {-2.875F, -0.6875F, -7.46875F, 0.4375F,  6.34375F,
                                         -3.375F, 3.09375F, -2.53125F, 1.78125F, 0.65625F};
  const two_adapters adapters(b, a);
  const sbora::delta_list<float> deltas = {adapters.fa.delta(), adapters.fb.delta()};
  const std::vector<index_t> ids = {0, 1, 0, 1, 1, 0}, offsets = {0, 1, 2, 2, 4, 5, 6};
  const sbora::adapter_rows rows(ids, offsets, 2);
  const sbora::linear base{sbora::weight_view(w.data(), d_out, d_in)};
  std::vector<float> found_y(y.size()), found_dx(dx.size());
  sbora::workspace memory;
  base.forward(rows_of(x, d_in), rows_of(found_y, d_out), memory);
  mixed_forward(deltas, rows, rows_of(x, d_in), rows_of(found_y, d_out), sbora::training_step{}, memory);
  base.backward(rows_of(dy, d_out), rows_of(found_dx, d_in), memory);
  mixed_backward(deltas, rows, rows_of(dy, d_out), rows_of(x, d_in), rows_of(found_dx, d_in), sbora::training_step{},
                 memory);
  CHECK(found_y == y);
  CHECK(found_dx == dx);
  CHECK(copy(adapters.fa.gradient()) == b_gradient);
  CHECK(copy(adapters.fb.gradient()) == a_gradient);
}

TEST_CASE("experts with FA, with FB, without an adapter, and without a token") {
  const std::vector<float> stack = {
      1.375F,  1.125F,  -1.125F, -0.5F,   0.5F,    1.375F,  -1.0F,   -0.75F, 0.75F,   1.5F,   -1.0F,  -2.0F,
      -0.125F, -0.25F,  -1.375F, -1.625F, 1.75F,   -0.625F, -0.625F, -1.5F,  -2.0F,   -1.75F, -1.75F, 0.125F,
      1.375F,  -1.875F, -0.375F, 0.875F,  1.875F,  -1.875F, 0.875F,  0.25F,  0.75F,   0.375F, 0.75F,  1.0F,
      -2.0F,   -0.375F, -0.875F, -1.875F, -0.875F, -2.0F,   -1.0F,   0.875F, -1.125F, 1.125F, -1.5F,  -0.125F,
      0.125F,  1.375F,  -1.5F,   0.25F,   -1.875F, 0.875F,  -1.375F, 1.5F,   -1.5F,   0.25F,  -1.75F, 1.75F,
      -0.375F, -1.875F, 0.25F,   -1.625F, 1.625F,  -1.875F, 0.25F,   0.5F,   -0.875F, -2.0F,  0.125F, -1.75F,
      -0.25F,  0.375F,  1.75F,   -1.0F,   -0.75F,  -1.375F, 1.25F,   -0.125F};
  const std::vector<float> x = {1.5F,    1.375F, -0.125F, 0.25F,  0.5F,  0.125F, 0.75F,  1.25F, 0.375F,  0.5F,
                                -0.625F, 1.5F,   0.375F,  0.125F, -1.5F, 0.25F,  0.375F, -1.5F, -0.875F, 0.5F};
  const std::vector<float> dy = {0.625F,  0.5F,   0.375F,  -0.25F,  1.25F,   1.125F,  0.625F,  1.125F,
                                 0.75F,   1.125F, -1.375F, 0.125F,  1.75F,   0.125F,  -2.0F,   1.5F,
                                 -1.0F,   1.625F, -0.25F,  -2.0F,   1.875F,  -0.375F, -1.375F, 1.25F,
                                 -0.875F, 0.375F, 1.5F,    -0.625F, -1.625F, 0.0F,    0.375F,  0.875F};
  const std::vector<float> b = {-2.0F, -0.75F, 1.875F, -0.125F, 1.5F, 0.75F, -1.25F, -0.875F};
  const std::vector<float> a = {1.875F, 1.75F, -0.25F, -1.75F, 1.25F, 1.125F, 0.375F, -2.0F, -1.0F, -1.0F};
  const std::vector<float> y = {3.109375F, 1.8671875F, -4.28125F,   -1.6171875F, -0.984375F, -0.1796875F, -2.0F,
                                -1.21875F, -1.09375F,  -4.7734375F, 0.265625F,   4.84375F,   -4.078125F,  3.984375F,
                                -0.96875F, -1.0625F,   2.046875F,   -4.5F,       -0.765625F, -0.109375F,  0.640625F,
                                -3.75F,    9.65625F,   -2.109375F,  -6.84375F,   -0.75F,     1.8125F,     -2.0F,
                                8.65625F,  -1.359375F, 7.609375F,   0.375F};
  const std::vector<float> dx = {-0.78125F, -6.546875F,  -8.875F,   -0.203125F, -5.03125F,  4.90625F,   4.375F,
                                 0.171875F, -3.6953125F, 5.796875F, -0.234375F, -4.84375F,  -6.609375F, -1.6796875F,
                                 1.625F,    -5.734375F,  6.90625F,  8.34375F,   10.390625F, 1.234375F};
  const std::vector<float> b_gradient = {0.359375F, 1.4609375F,  0.34375F, 1.609375F,
                                         0.078125F, -0.5390625F, 0.1875F,  0.34375F};
  const std::vector<float> a_gradient = {-3.5625F, -1.25F, 2.96875F, -0.21875F, 0.5F,
                                         4.59375F, 2.625F, 2.21875F, 3.125F,    -0.625F};
  const two_adapters adapters(b, a);
  const sbora::delta_list<float> deltas = {adapters.fa.delta(), {}, {}, adapters.fb.delta()};
  const std::vector<index_t> ids = {0, 3, 3, 0, 0, 1, 3, 1};  // two for each token
  const sbora::expert_tokens routed(ids, 2, 4);
  const sbora::grouped_linear layer(sbora::experts_of(sbora::weight_view(stack.data(), 4 * d_out, d_in), 4));
  std::vector<float> found_y(y.size()), found_dx(dx.size());
  sbora::workspace memory;
  layer.forward(rows_of(x, d_in), rows_of(found_y, d_out), routed.groups(), deltas, sbora::training_step{}, memory);
  layer.backward(rows_of(dy, d_out), rows_of(x, d_in), rows_of(found_dx, d_in), routed.groups(), deltas,
                 sbora::training_step{}, memory);
  CHECK(found_y == y);
  CHECK(found_dx == dx);
  CHECK(copy(adapters.fa.gradient()) == b_gradient);
  CHECK(copy(adapters.fb.gradient()) == a_gradient);
}
