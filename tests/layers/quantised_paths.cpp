// The three ways to compute with an adapter over codes agree: the one-hot product in exact arithmetic, gather and
// scatter beside the weight, and adding to the weight while it is dequantised.

#include <sbora/quantized.hpp>

#include "support/catch.hpp"
#include "support/fp8_codes.hpp"
#include "support/ggml_blocks.hpp"
#include "support/layer_problem.hpp"

using namespace sbora_tests;
using sbora::adapter_kind;
using sbora::four_bit_type;

namespace {

template <adapter_kind Kind, class Quantise>
void check_paths(const layer_case& size, Quantise quantise) {
  CAPTURE(size, Kind == adapter_kind::fa);
  layer_problem<Kind, float> p(size);
  const auto codes = quantise(sbora::weight_view<float>(p.weight.data(), size.d_out, size.d_in, p.weight.stride()));
  // From here on the dense weight is what the codes stand for.
  sbora::dequantize(codes.view(), sbora::weight_view<float>(p.weight.data(), size.d_out, size.d_in, p.weight.stride()));
  auto layer =
      p.bias.empty() ? sbora::linear(codes.view()) : sbora::linear(codes.view(), std::span<const float>(p.bias));
  sbora::workspace memory;
  const exact_results exact = exact_layer(p, false);
  for (const sbora::delta_path path : {sbora::delta_path::separate, sbora::delta_path::on_pack}) {
    CAPTURE(static_cast<int>(path));
    layer.set_delta_path(path);
    auto y = p.empty_y();
    auto dx = p.empty_dx();
    typename decltype(p)::adapter_type::saved_type saved;
    p.adapter.zero_gradient();
    layer.forward(activation(p.x), activation(y), p.adapter, saved, memory);
    layer.backward(activation(p.dy), activation(dx), p.adapter, saved, memory);
    CHECK(first_difference(y, exact.y, exact.y_magnitude, gamma_of<float>(p.roundings(size.d_in))) == "");
    CHECK(first_difference(dx, exact.dx, exact.dx_magnitude, gamma_of<float>(p.roundings(size.d_out))) == "");
    CHECK(first_difference(p.adapter.gradient_matrix(), exact.gradient, exact.gradient_magnitude,
                           gamma_of<float>(p.roundings(size.tokens))) == "");
  }
}

}  // namespace

TEST_CASE("one-hot product, gather and scatter, and adding to the dequantised weight agree") {
  using weight = sbora::weight_view<float>;
  const layer_case cases[] = {{37, 29, 5, 3}, {24, 128, 8, 40, sbora::storage::out_by_in, 0, true}};
  for (const layer_case& size : cases) {
    const auto four_bit = [](const sbora::four_bit_options& options) {
      return [=](const weight& w) { return sbora::four_bit_weight(w, options); };
    };
    const auto int8 = [](const weight& w) { return sbora::int8_weight(w); };
    check_paths<adapter_kind::fa>(size, four_bit({.nested = true}));
    check_paths<adapter_kind::fb>(size, four_bit({.nested = true}));
    check_paths<adapter_kind::fa>(size, four_bit({.type = four_bit_type::fp4, .blocksize = 32}));
    check_paths<adapter_kind::fa>(size, int8);
    check_paths<adapter_kind::fb>(size, int8);
    for (const sbora::fp8_scaling scaling : all_fp8_scalings) {
      const auto fp8 = [=](const weight& w) { return fp8_codes(w.d_out(), w.d_in(), scaling, 5); };
      check_paths<adapter_kind::fa>(size, fp8);
      check_paths<adapter_kind::fb>(size, fp8);
    }
  }
  for (const sbora::ggml_type type : {sbora::ggml_type::q4_1, sbora::ggml_type::q6_k}) {
    const auto blocks = [=](const weight& w) { return ggml_blocks(w.d_out(), w.d_in(), type, 5); };
    for (const layer_case& size : {layer_case{37, 256, 5, 3}, {24, 256, 8, 40, sbora::storage::out_by_in, 0, true}}) {
      check_paths<adapter_kind::fa>(size, blocks);
      check_paths<adapter_kind::fb>(size, blocks);
    }
  }
}
