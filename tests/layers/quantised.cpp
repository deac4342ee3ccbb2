// A layer over codes gives, bit for bit, what one over their values gives.

#include <bit>

#include <sbora/merge/export_merged.hpp>
#include <sbora/weights/quantize.hpp>

#include "support/catch.hpp"
#include "support/fp8_codes.hpp"
#include "support/ggml_blocks.hpp"
#include "support/layer_problem.hpp"

using namespace sbora_tests;
using Eigen::bfloat16;
using sbora::adapter_kind;

namespace {

/// Empty where both hold the same bits, or numbers that differ by roundings where those may.
template <class T>
std::string difference(const padded_matrix<T>& got, const padded_matrix<T>& expected, bool exact = true) {
  if (exact) return same_bits(got.memory(), expected.memory()) ? "" : "results differ";
  for (index_t i = 0; i < got.rows(); ++i) {
    for (index_t j = 0; j < got.cols(); ++j) {
      const auto a = static_cast<float>(got(i, j)), b = static_cast<float>(expected(i, j));
      // Sums of 128 terms of at most 1, in another order, and a bf16's rounding.
      const float bound = 128 * 130 * 0x1p-24F + (sizeof(T) == 2 ? 0x1p-7F * std::abs(b) : 0);
      if (!(std::abs(a - b) <= bound)) return std::to_string(a) + " instead of " + std::to_string(b);
    }
  }
  return "";
}

/// Forward and backward in eval and training mode over both weights.
template <adapter_kind Kind, class Activation, class Quantised, class Dense>
void check_layers(const layer_case& size, const Quantised& codes, const sbora::weight_view<Dense>& values) {
  CAPTURE(size, Kind == adapter_kind::fa, sizeof(Activation), sizeof(Dense));
  padded_matrix<Activation> x(size.tokens, size.d_in), dy(size.tokens, size.d_out);
  x.randomise(11);
  dy.randomise(12);
  sbora::workspace memory;
  const auto run = [&](const auto& weight, sbora::delta_path path) {
    layer_problem<Kind, float> p(size);
    auto& adapter = p.adapter;
    sbora::linear layer(weight, std::span<const float>(p.bias));
    layer.set_delta_path(path);
    const std::array deltas = {adapter.delta()};
    padded_matrix<float> y(size.tokens, size.d_out, 3), dx(size.tokens, size.d_in, 1), eval_y(y), eval_dx(dx);
    std::conditional_t<Kind == adapter_kind::fa, sbora::fa_saved<float>, sbora::fb_saved<float, Activation>> saved;
    layer.forward(activation(std::as_const(x)), activation(eval_y), deltas, memory);
    layer.backward(activation(std::as_const(dy)), activation(eval_dx), deltas, memory);
    layer.forward(activation(std::as_const(x)), activation(y), adapter, saved, memory);
    layer.backward(activation(std::as_const(dy)), activation(dx), adapter, saved, memory);
    const auto gradient = adapter.gradient();
    return std::tuple(eval_y, eval_dx, y, dx, std::vector<float>(gradient.begin(), gradient.end()));
  };
  // Few tokens are multiplied in groups of 128 codes where the machine can, in an order of its own.
  const bool grouped = std::is_same_v<Quantised, sbora::four_bit_view> && size.tokens <= 16 && size.d_in % 128 == 0 &&
                       sbora::detail::find_kernels<sbora::detail::code_kernels<float>>(sbora::active_isa()) != nullptr;
  for (const sbora::delta_path path :
       {sbora::delta_path::automatic, sbora::delta_path::separate, sbora::delta_path::on_pack}) {
    CAPTURE(static_cast<int>(path));
    const auto got = run(codes, path);
    const auto expected = run(values, path);
    CHECK(difference(std::get<0>(got), std::get<0>(expected), !grouped) == "");
    CHECK(difference(std::get<1>(got), std::get<1>(expected)) == "");
    CHECK(difference(std::get<2>(got), std::get<2>(expected), !grouped) == "");
    CHECK(difference(std::get<3>(got), std::get<3>(expected)) == "");
    CHECK(std::get<4>(got) == std::get<4>(expected));
  }
}

template <class Quantised>
void check_weight(const layer_case& size, const Quantised& codes) {
  padded_matrix<float> values(size.d_out, size.d_in, 2);
  const sbora::weight_view<float> dense(values.data(), size.d_out, size.d_in, values.stride());
  sbora::dequantize(codes, dense);
  CHECK(values.padding_intact());
  check_layers<adapter_kind::fa, float>(size, codes, dense);
  check_layers<adapter_kind::fb, float>(size, codes, dense);
  // Pairs round the values to bf16, as a bf16 weight has them. The products without pairs (streamed, or with
  // ΔW unrounded) don't, so that the two agree where no products of bf16 are paired only.
  if (!sbora::detail::has_pairs<typename Quantised::storage_scalar> ||
      sbora::detail::find_kernels<sbora::detail::pair_kernels<sbora::bf16>>(sbora::active_isa()) == nullptr) {
    check_layers<adapter_kind::fa, bfloat16>(size, codes, dense);
    check_layers<adapter_kind::fb, bfloat16>(size, codes, dense);
  } else {
    padded_matrix<bfloat16> rounded(size.d_out, size.d_in);
    sbora::dequantize(codes, sbora::weight_view<bfloat16>(rounded.data(), size.d_out, size.d_in));
    padded_matrix<bfloat16> x(40, size.d_in);
    x.randomise(13);
    padded_matrix<float> y(40, size.d_out), expected(y);
    sbora::workspace memory;
    sbora::linear<Quantised>(codes).forward(activation(std::as_const(x)), activation(y), memory);
    sbora::linear(sbora::weight_view<bfloat16>(rounded.data(), size.d_out, size.d_in))
        .forward(activation(std::as_const(x)), activation(expected), memory);
    CHECK(difference(y, expected) == "");
  }
}

}  // namespace

TEST_CASE("a layer over quantised weights is one over their values") {
  const layer_case cases[] = {
      {37, 29, 5, 1, sbora::storage::out_by_in, 0, true, 0},   {64, 128, 8, 3, sbora::storage::out_by_in, 0, true, 0.2},
      {23, 128, 4, 7, sbora::storage::out_by_in, 0, true, 0},  {40, 300, 8, 37, sbora::storage::out_by_in, 0, true, 0},
      {19, 256, 6, 13, sbora::storage::out_by_in, 0, true, 0},  // codes, dy·W of as many streamed
      {24, 31, 3, 20, sbora::storage::out_by_in, 0, true, 0.1}};
  for (const layer_case& size : cases) {
    const layer_problem<adapter_kind::fa, float> p(size);
    const sbora::weight_view<const float> source(p.weight.data(), size.d_out, size.d_in, p.weight.stride());
    const sbora::four_bit_weight nf4(source), nested_fp4(source, {sbora::four_bit_type::fp4, 32, true});
    const sbora::int8_weight int8(source);
    check_weight(size, nf4.view());
    check_weight(size, nested_fp4.view());
    check_weight(size, int8.view());
    for (const sbora::fp8_scaling scaling : all_fp8_scalings) {
      const fp8_codes fp8(size.d_out, size.d_in, scaling, 5);
      check_weight(size, fp8.view());
    }
  }
}

TEST_CASE("a layer over ggml's blocks is one over their values") {
  // Streamed, few, packed; two blocks of 256.
  const layer_case cases[] = {{19, 512, 5, 1, sbora::storage::out_by_in, 0, true, 0},
                              {40, 256, 8, 13, sbora::storage::out_by_in, 0, true, 0},
                              {33, 512, 6, 37, sbora::storage::out_by_in, 0, true, 0}};
  for (std::size_t i = 0; i < std::size(all_ggml_types); ++i) {
    const sbora::ggml_type type = all_ggml_types[i];
    const layer_case& size = cases[i % 3];
    CAPTURE(sbora::to_string(type));
    check_weight(size, ggml_blocks(size.d_out, size.d_in, type, 5).view());
  }
}

TEST_CASE("a NaN in a trained half reaches the results over codes, also in pairs of bf16") {
  const layer_case size = {64, 64, 4, 12, sbora::storage::out_by_in, 0, false, 0};
  layer_problem<adapter_kind::fa, float> p(size);
  const sbora::four_bit_weight weight(sbora::weight_view<const float>(p.weight.data(), 64, 64));
  std::fill(p.adapter.parameters().begin(), p.adapter.parameters().end(), std::bit_cast<float>(0xFFFFFFFFU));
  padded_matrix<bfloat16> x(12, 64), y(12, 64);
  x.randomise(3);
  sbora::linear layer(weight.view());
  sbora::workspace memory;
  const std::array deltas = {p.adapter.delta()};
  for (const sbora::delta_path path :
       {sbora::delta_path::separate, sbora::delta_path::on_pack, sbora::delta_path::on_pack_rounded}) {
    layer.set_delta_path(path);
    layer.forward(activation(std::as_const(x)), activation(y), deltas, memory);
    for (index_t i = 0; i < y.rows(); ++i) {
      for (index_t j = 0; j < y.cols(); ++j) REQUIRE(std::isnan(static_cast<float>(y(i, j))));
    }
  }
}
