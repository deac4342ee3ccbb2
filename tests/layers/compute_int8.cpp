// compute::int8: where it is used, what it leaves as it is, and how far it is off. Its bits: kernels/byte_product.cpp.

#include <sbora/executors/thread_pool.hpp>
#include <sbora/layers/any_linear.hpp>
#include <sbora/layers/delta.hpp>
#include <sbora/layers/grouped_linear.hpp>
#include <sbora/layers/int8_error.hpp>
#include <sbora/quantized.hpp>

#include "support/catch.hpp"
#include "support/fp8_codes.hpp"
#include "support/layer_problem.hpp"

using namespace sbora_tests;
using Eigen::bfloat16;
using sbora::adapter_kind;
using sbora::compute;

namespace {

constexpr index_t d_out = 150, d_in = 192;

sbora::weight_view<const float> random_weight() {
  static const padded_matrix<float> values = [] {
    padded_matrix<float> m(d_out, d_in);
    return m.randomise(1);
  }();
  return {values.data(), d_out, d_in};
}

/// Gaps between tokens are NaN.
template <class T = float>
padded_matrix<T> random_tokens(index_t tokens, index_t features = d_in) {
  padded_matrix<T> x(tokens, features, 3);
  return x.randomise(2);
}

template <class Weight, class T>
padded_matrix<T> forward(const Weight& weight, const padded_matrix<T>& x, compute computed_in,
                         bool in_any_batch = false) {
  padded_matrix<T> y(x.rows(), weight.d_out(), 1);
  sbora::linear layer(weight);
  layer.set_compute(computed_in);
  layer.set_batch_invariant(in_any_batch);
  sbora::workspace memory;
  layer.forward(activation(x), activation(y), memory);
  return y;
}

template <class T>
double relative_error(const padded_matrix<T>& got, const padded_matrix<T>& expected) {
  double difference = 0, whole = 0;
  for (index_t i = 0; i < got.rows(); ++i) {
    for (index_t j = 0; j < got.cols(); ++j) {
      const auto is = static_cast<double>(got(i, j)), should = static_cast<double>(expected(i, j));
      difference += (is - should) * (is - should);
      whole += should * should;
    }
  }
  return std::sqrt(difference / whole);
}

bool has_tiles() {
  const auto* const kernels =
      sbora::detail::find_kernels<sbora::detail::byte_kernels<sbora::detail::four_bit>>(sbora::active_isa());
  return kernels->product != nullptr;
}

}  // namespace

TEMPLATE_TEST_CASE("the error is that of rounding tokens and values", "", float, bfloat16) {
  const auto weight = random_weight();
  const sbora::four_bit_weight nf4(weight), fp4(weight, {.type = sbora::four_bit_type::fp4, .nested = true});
  const sbora::int8_weight int8(weight);
  for (const index_t tokens : {1, 5, 12, 16}) {
    CAPTURE(tokens);
    const auto x = random_tokens<TestType>(tokens);
    const auto check = [&](const auto& view, double least, double most) {
      const auto got = forward(view, x, compute::int8);
      CHECK(got.padding_intact());
      const double error = relative_error(got, forward(view, x, compute::full));
      CHECK(error > least);
      CHECK(error < most);
    };
    check(nf4.view(), 0.004, 0.02);
    check(fp4.view(), 0.002, 0.015);
    check(int8.view(), 0.001, 0.01);
  }
}

TEST_CASE("the utility measures it") {
  const sbora::four_bit_weight nf4(random_weight());
  auto x = random_tokens(20);
  for (index_t k = 0; k < d_in; k += 32) x(7, k) = 40;  // an outlier in every block
  const sbora::int8_error error = sbora::int8_error_of(nf4.view(), activation(x));
  const double expected =
      has_tiles() ? relative_error(forward(nf4.view(), x, compute::int8), forward(nf4.view(), x, compute::full)) : 0;
  CHECK(std::abs(error.relative - expected) < 1e-9);
  CHECK(error.worst_token >= error.relative);
  const auto one = random_tokens(1);
  CHECK(sbora::int8_error_of(nf4.view(), activation(one)).relative > 0.004);
  CHECK(sbora::int8_error_of(random_weight(), activation(one)).relative == 0);
}

TEST_CASE("adapters are added in float, passed, overlaid and in training") {
  const sbora::four_bit_weight nf4(random_weight());
  for (const index_t tokens : {3, 40}) {
    CAPTURE(tokens);
    layer_problem<adapter_kind::fa, float> fa({.d_out = d_out, .d_in = d_in, .rank = 9, .tokens = tokens});
    layer_problem<adapter_kind::fb, float> fb({.d_out = d_out, .d_in = d_in, .rank = 5, .tokens = tokens});
    const sbora::delta_list<float> deltas = {fa.adapter.delta(), fb.adapter.delta()};
    sbora::workspace memory;
    auto expected = forward(nf4.view(), fa.x, compute::int8);
    sbora::delta_forward(std::as_const(fa.adapter), activation(fa.x), activation(expected), memory);
    sbora::delta_forward(std::as_const(fb.adapter), activation(fa.x), activation(expected), memory);
    sbora::linear layer(nf4.view());
    layer.set_compute(compute::int8);
    if (!has_tiles() && tokens > 16) layer.set_delta_path(sbora::delta_path::separate);
    auto y = expected;
    y.randomise(9);
    layer.forward(activation(fa.x), activation(y), deltas, memory);
    CHECK(same_bits(y.memory(), expected.memory()));
    layer.set_overlay(&deltas);
    y.randomise(9);
    layer.forward(activation(fa.x), activation(y), memory);
    CHECK(same_bits(y.memory(), expected.memory()));
    layer.set_overlay(nullptr);

    expected = forward(nf4.view(), fa.x, compute::int8);
    sbora::delta_forward(fa.adapter, activation(fa.x), activation(expected), memory);
    sbora::fa_saved<float> saved;
    layer.forward(activation(fa.x), activation(y), fa.adapter, saved, memory);
    CHECK(same_bits(y.memory(), expected.memory()));
    // Backward is as without.
    padded_matrix<float> dx(tokens, d_in), full_dx(dx);
    layer.backward(activation(fa.dy), activation(dx), fa.adapter, saved, memory);
    layer.set_compute(compute::full);
    layer.backward(activation(fa.dy), activation(full_dx), fa.adapter, saved, memory);
    CHECK(same_bits(dx.memory(), full_dx.memory()));
  }
}

TEST_CASE("what bytes don't fit is computed in full") {
  const auto same = [](const auto& weight, index_t tokens) {
    const auto x = random_tokens(tokens, weight.d_in());
    return same_bits(forward(weight, x, compute::int8).memory(), forward(weight, x, compute::full).memory());
  };
  const auto weight = random_weight();
  const sbora::four_bit_weight short_blocks(weight, {.blocksize = 32}), nf4(weight);
  const sbora::weight_view<const float> odd(weight.data(), 60, 100);
  const sbora::four_bit_weight odd_codes(odd);
  const sbora::int8_weight odd_int8(odd);
  const fp8_codes fp8(d_out, d_in, all_fp8_scalings[0], 5);
  for (const index_t tokens : {1, 30}) {
    CHECK(same(weight, tokens));
    CHECK(same(short_blocks.view(), tokens));
    CHECK(same(odd_codes.view(), tokens));
    CHECK(same(odd_int8.view(), tokens));
    CHECK(same(fp8.view(), tokens));
  }
  // And where ΔW is added to what is packed.
  layer_problem<adapter_kind::fa, float> fa({.d_out = d_out, .d_in = d_in, .rank = 9});
  sbora::linear layer(nf4.view());
  layer.set_delta_path(sbora::delta_path::on_pack);
  sbora::workspace memory;
  padded_matrix<float> y(11, d_out), full(11, d_out);
  layer.forward(activation(fa.x), activation(full), fa.adapter, memory);
  layer.set_compute(compute::int8);
  layer.forward(activation(fa.x), activation(y), fa.adapter, memory);
  CHECK(same_bits(y.memory(), full.memory()));
}

TEST_CASE("a token has the same bits in any batch, on any executor and in memory as counted") {
  const sbora::four_bit_weight nf4(random_weight());
  const sbora::int8_weight int8(random_weight());
  sbora::thread_pool pool(2);
  const auto check = [&](const auto& view) {
    const auto all = random_tokens(70);
    const auto expected = forward(view, all, compute::int8, true);
    for (const index_t tokens : {1, 2, 7, 9, 33, 70}) {
      CAPTURE(tokens);
      sbora::linear layer(view);
      layer.set_compute(compute::int8);
      layer.set_batch_invariant(true);
      std::vector<std::byte> bytes(layer.workspace_bytes(tokens));
      sbora::workspace memory(bytes);
      padded_matrix<float> y(tokens, d_out);
      const sbora::activation_view<const float> x(all.data() + (70 - tokens) * all.stride(), tokens, d_in,
                                                  all.stride());
      layer.forward(x, activation(y), memory, pool);
      for (index_t t = 0; t < tokens; ++t) {
        CHECK(std::memcmp(&y(t, 0), &expected(70 - tokens + t, 0), sizeof(float) * d_out) == 0);
      }
    }
  };
  check(nf4.view());
  check(int8.view());
}

TEST_CASE("layers of any storage and of experts do it too") {
  const sbora::four_bit_weight nf4(random_weight());
  const auto x = random_tokens(6);
  const auto expected = forward(nf4.view(), x, compute::int8);
  sbora::workspace memory;
  padded_matrix<float> y(6, d_out, 1);
  sbora::linear any{sbora::any_weight(nf4.view())};
  any.set_compute(compute::int8);
  CHECK(any.computed_in() == compute::int8);
  any.forward(activation(x), activation(y), memory);
  CHECK(same_bits(y.memory(), expected.memory()));

  sbora::grouped_linear experts(std::vector{nf4.view()});
  experts.set_compute(compute::int8);
  const std::vector<index_t> ids(6, 0);
  const sbora::expert_tokens routed(ids, 1, 1);
  y.randomise(4);
  experts.forward(activation(x), activation(y), routed.groups(), {}, memory);
  CHECK(same_bits(y.memory(), expected.memory()));
}
