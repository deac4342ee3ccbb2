// Layers over parts of weights: the bits of layers over copies of the parts; a fused projection with adapters on its
// parts; one selection of channels for all weights of an MLP.

#include <sbora/layers/delta.hpp>
#include <sbora/merge/merger.hpp>
#include <sbora/merge/overlay.hpp>
#include <sbora/quantized.hpp>
#include <sbora/regions/set_operations.hpp>

#include "support/catch.hpp"
#include "support/fp8_codes.hpp"
#include "support/gradient_check.hpp"
#include "support/layer_problem.hpp"

using namespace sbora_tests;
using sbora::adapter_kind;
using sbora::columns_of;
using sbora::rows_of;
using sbora::storage;

namespace {

/// Forward and training step over a part against those over a dense copy of its values, within the bound of two sums in
/// other orders, or bit for bit.
template <adapter_kind Kind, class Part, class Copy>
void check_part(const Part& part, const Copy& copy, index_t tokens, bool exact) {
  const layer_case size = {.d_out = part.d_out(), .d_in = part.d_in(), .rank = 3, .tokens = tokens};
  CAPTURE(size, Kind == adapter_kind::fa, exact);
  using T = typename Part::compute_scalar;
  const auto run = [&](const auto& weight) {
    layer_problem<Kind, T> p(size);
    const sbora::linear layer(weight);
    sbora::workspace memory;
    typename decltype(p)::adapter_type::saved_type saved;
    auto y = p.empty_y();
    auto dx = p.empty_dx();
    layer.forward(activation(p.x), activation(y), p.adapter, saved, memory);
    layer.backward(activation(p.dy), activation(dx), p.adapter, saved, memory);
    return std::tuple(y, dx, std::vector<T>(p.adapter.gradient().begin(), p.adapter.gradient().end()));
  };
  const auto got = run(part), expected = run(copy);
  if (exact) {
    CHECK(same_bits(std::get<0>(got).memory(), std::get<0>(expected).memory()));
    CHECK(same_bits(std::get<1>(got).memory(), std::get<1>(expected).memory()));
  } else {
    // Terms of at most 4: |x| and |dy| are at most 1, weight and ΔW at most 2.
    const auto bound = [&](index_t depth) { return 2 * 4 * static_cast<long double>(depth) * gamma_of<T>(depth + 12); };
    const auto near = [&](const padded_matrix<T>& a, const padded_matrix<T>& b, index_t depth) {
      for (index_t i = 0; i < a.rows(); ++i) {
        for (index_t j = 0; j < a.cols(); ++j) {
          if (!(std::abs(static_cast<long double>(a(i, j)) - static_cast<long double>(b(i, j))) <= bound(depth))) {
            return false;
          }
        }
      }
      return true;
    };
    CHECK(near(std::get<0>(got), std::get<0>(expected), size.d_in));
    CHECK(near(std::get<1>(got), std::get<1>(expected), size.d_out));
  }
  CHECK(same_bits<T>(std::get<2>(got), std::get<2>(expected)));
}

template <class Part, class Copy>
void check_part(const Part& part, const Copy& copy, bool exact) {
  for (const index_t tokens : {1, 7, 40}) {
    check_part<adapter_kind::fa>(part, copy, tokens, exact);
    check_part<adapter_kind::fb>(part, copy, tokens, exact);
  }
}

template <class Scalar>
void check_dense() {
  for (const storage order : {storage::out_by_in, storage::in_by_out}) {
    const bool straight = order == storage::out_by_in;
    padded_matrix<Scalar> w(straight ? 60 : 50, straight ? 50 : 60, 3);
    w.randomise(1);
    const sbora::weight_view<const Scalar> view(w.data(), 60, 50, w.stride(), order);
    const auto part = columns_of(rows_of(view, {13, 53}), {5, 38});
    padded_matrix<Scalar> copy(straight ? 40 : 33, straight ? 33 : 40, 0);
    for (index_t i = 0; i < copy.rows(); ++i) {
      for (index_t j = 0; j < copy.cols(); ++j) copy(i, j) = w(i + (straight ? 13 : 5), j + (straight ? 5 : 13));
    }
    check_part(part, sbora::weight_view<const Scalar>(copy.data(), 40, 33, 0, order), true);
  }
}

/// Of codes, against a dense copy of the values.
template <class Part>
void check_codes(const Part& part) {
  std::vector<float> values(static_cast<std::size_t>(part.d_out() * part.d_in()));
  const sbora::weight_view copy(values.data(), part.d_out(), part.d_in());
  sbora::dequantize(part, copy);
  check_part(part, copy, false);
}

}  // namespace

TEST_CASE("layers over parts of dense weights have the bits of layers over copies") {
  check_dense<float>();
  check_dense<double>();
  check_dense<Eigen::bfloat16>();
  check_dense<Eigen::half>();
}

TEST_CASE("layers over parts of codes are layers over their values") {
  const std::vector<float> dense = random_vector<float>(96 * 512, 2);
  const sbora::weight_view w(dense.data(), 96, 512);
  const sbora::four_bit_weight nf4(w), nested(w, {.type = sbora::four_bit_type::fp4, .nested = true});
  check_codes(rows_of(nf4.view(), {7, 50}));
  check_codes(columns_of(nf4.view(), {128, 384}));  // groups of 128 codes
  check_codes(columns_of(nf4.view(), {64, 303}));
  check_codes(rows_of(nested.view(), {32, 96}));
  check_codes(columns_of(rows_of(nested.view(), {64, 91}), {0, 333}));
  const sbora::int8_weight int8(w);
  check_codes(columns_of(rows_of(int8.view(), {3, 80}), {5, 401}));
  for (const sbora::fp8_scaling scaling : all_fp8_scalings) {
    const fp8_codes fp8(200, 300, scaling, 3);
    check_codes(columns_of(rows_of(fp8.view(), {128, 190}), {128, 277}));
  }
}

TEST_CASE("a fused projection with FA on q and FB on v") {
  constexpr index_t q = 24, k = 8, v = 8, all = q + k + v, d_in = 30, tokens = 20;
  padded_matrix<double> w(all, d_in, 2), x(tokens, d_in, 1), dy(tokens, all, 3);
  w.randomise(1), x.randomise(2), dy.randomise(3);
  const padded_matrix<double> before = w;
  const sbora::weight_view fused(w.data(), all, d_in, w.stride());
  const auto w_q = rows_of(fused, {0, q}), w_v = rows_of(fused, {q + k, all});
  sbora::fa_adapter<double> on_q(q, d_in, sbora::sample_region(d_in, 5, 4), {.alpha = 3, .dropout = 0.25});
  sbora::fb_adapter<double> on_v(v, d_in, sbora::sample_region(v, 3, 5));
  fill_random(on_q.parameters(), 6);
  fill_random(on_v.parameters(), 7);
  const auto part = [](auto& m, index_t from, index_t size) {
    return sbora::activation_view(m.data() + from, m.rows(), size, m.stride());
  };
  sbora::workspace memory;
  const sbora::linear base(fused);
  // Of x and the trained halves as they are: Σ dy·y, with the mask of step 9.
  const auto loss = [&] {
    padded_matrix<double> y(tokens, all, 1);
    sbora::fa_saved<double> saved_q;
    sbora::fb_saved<double> saved_v;
    on_q.set_dropout_step(9);
    base.forward(activation(std::as_const(x)), activation(y), memory);
    delta_forward(on_q, activation(std::as_const(x)), part(y, 0, q), saved_q, memory);
    delta_forward(on_v, activation(std::as_const(x)), part(y, q + k, v), saved_v, memory);
    double sum = 0;
    for (index_t t = 0; t < tokens; ++t) {
      for (index_t o = 0; o < all; ++o) sum += y(t, o) * dy(t, o);
    }
    return sum;
  };
  padded_matrix<double> y(tokens, all, 1), dx(tokens, d_in, 2);
  sbora::fa_saved<double> saved_q;
  sbora::fb_saved<double> saved_v;
  on_q.set_dropout_step(9);
  base.forward(activation(std::as_const(x)), activation(y), memory);
  delta_forward(on_q, activation(std::as_const(x)), part(y, 0, q), saved_q, memory);
  delta_forward(on_v, activation(std::as_const(x)), part(y, q + k, v), saved_v, memory);
  base.backward(activation(std::as_const(dy)), activation(dx), memory);
  delta_backward(on_q, part(std::as_const(dy), 0, q), activation(dx), saved_q, memory);
  delta_backward(on_v, part(std::as_const(dy), q + k, v), activation(dx), saved_v, memory);
  const auto check = [&](double& value, double gradient) { check_gradient(value, gradient, loss); };
  for (std::size_t i = 0; i < on_q.parameters().size(); ++i) check(on_q.parameters()[i], on_q.gradient()[i]);
  for (std::size_t i = 0; i < on_v.parameters().size(); ++i) check(on_v.parameters()[i], on_v.gradient()[i]);
  for (index_t t = 0; t < tokens; ++t) {
    for (index_t i = 0; i < d_in; ++i) check(x(t, i), dx(t, i));
  }

  // Layers over the parts are the same; merged, too, and undone to the last bit.
  sbora::linear(w_q).forward(activation(std::as_const(x)), part(y, 0, q), std::as_const(on_q), memory);
  sbora::linear(w_v).forward(activation(std::as_const(x)), part(y, q + k, v), std::as_const(on_v), memory);
  padded_matrix<double> merged_y(tokens, all, 1);
  sbora::merger merger_q(w_q), merger_v(w_v);
  merger_q.merge(on_q);
  merger_v.merge(on_v);
  base.forward(activation(std::as_const(x)), activation(merged_y), memory);
  for (index_t t = 0; t < tokens; ++t) {
    for (index_t o = 0; o < all; ++o) CHECK(std::abs(merged_y(t, o) - y(t, o)) <= 1e-12);
  }
  CHECK(w.padding_intact());
  merger_v.unmerge(on_v);
  merger_q.unmerge(on_q);
  CHECK(same_bits(w.memory(), before.memory()));
}

TEST_CASE("one selection of channels for gate_up and down") {
  constexpr index_t hidden = 20, channels = 32;
  const sbora::region chosen = sbora::sample_region(channels, 6, 1);
  const sbora::region fused =
      region_union(shifted_region(chosen, 0, 2 * channels), shifted_region(chosen, channels, 2 * channels));
  const sbora::fb_adapter<float> gate_up(2 * channels, hidden, fused);
  const sbora::fa_adapter<float> down(hidden, channels, chosen);
  for (index_t j = 0; j < chosen.rank(); ++j) {
    const auto at = static_cast<std::size_t>(j);
    CHECK(gate_up.target().indices()[at] == down.target().indices()[at]);
    CHECK(gate_up.target().indices()[at + 6] == down.target().indices()[at] + channels);
  }
  // FB on the fused weight is FB on its parts: the same rows of the trained half.
  std::vector<float> w = random_vector<float>(2 * channels * hidden, 2), by_parts = w;
  sbora::fb_adapter<float> trained(2 * channels, hidden, fused, {.alpha = 12}),
      gate(channels, hidden, chosen, {.alpha = 6}), up(channels, hidden, chosen, {.alpha = 6});
  fill_random(trained.parameters(), 3);
  std::copy_n(trained.parameters().begin(), 6 * hidden, gate.parameters().begin());
  std::copy_n(trained.parameters().begin() + 6 * hidden, 6 * hidden, up.parameters().begin());
  sbora::merger(sbora::weight_view(w.data(), 2 * channels, hidden)).merge(trained);
  const sbora::weight_view parts(by_parts.data(), 2 * channels, hidden);
  sbora::merger(rows_of(parts, {0, channels})).merge(gate);
  sbora::merger(rows_of(parts, {channels, 2 * channels})).merge(up);
  CHECK(same_bits<float>(w, by_parts));
}

TEST_CASE("an overlay merges beside a part of codes") {
  const std::vector<float> dense = random_vector<float>(64 * 128, 2);
  const sbora::four_bit_weight nf4(sbora::weight_view(dense.data(), 64, 128));
  const auto part = rows_of(nf4.view(), {16, 48});
  sbora::linear layer(part);
  sbora::overlay<float> merged(32, 128);
  layer.set_overlay(&merged.deltas());
  layer_problem<adapter_kind::fa, float> p({.d_out = 32, .d_in = 128, .rank = 4, .tokens = 40});
  sbora::workspace memory;
  auto expected = p.empty_y(), y = p.empty_y();
  layer.forward(activation(p.x), activation(expected), std::as_const(p.adapter), memory);
  merged.merge(p.adapter);
  layer.forward(activation(p.x), activation(y), memory);
  CHECK(same_bits(y.memory(), expected.memory()));
}
