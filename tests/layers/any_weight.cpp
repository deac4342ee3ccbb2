// A layer over a weight whose storage is known at run time gives the bits of one over the same view.

#include <sbora/layers/any_linear.hpp>
#include <sbora/weights/quantize.hpp>

#include "support/catch.hpp"
#include "support/ggml_blocks.hpp"
#include "support/layer_problem.hpp"

using namespace sbora_tests;
using sbora::any_weight;

namespace {

static_assert(sbora::frozen_weight<sbora::weight_view<double>> && sbora::frozen_weight<sbora::four_bit_view>);
static_assert(!sbora::frozen_weight<Eigen::MatrixXf> && !sbora::frozen_weight<any_weight>);
static_assert(!std::constructible_from<any_weight, sbora::weight_view<const double>>);  // computes in double

template <sbora::adapter_kind Kind>
std::vector<float> results(const auto& weight, const layer_case& size) {
  layer_problem<Kind, float> p(size);
  sbora::linear layer(weight, std::span<const float>(p.bias));
  layer.set_delta_path(sbora::delta_path::separate);
  padded_matrix<float> x(size.tokens, size.d_in), y(size.tokens, size.d_out), dx(size.tokens, size.d_in);
  x.randomise(3);
  std::conditional_t<Kind == sbora::adapter_kind::fa, sbora::fa_saved<float>, sbora::fb_saved<float>> saved;
  sbora::workspace memory;
  REQUIRE(layer.workspace_bytes(size.tokens, p.adapter) > 0);
  layer.forward(activation(std::as_const(x)), activation(y), p.adapter, saved, memory);
  layer.backward(activation(std::as_const(y)), activation(dx), p.adapter, saved, memory);
  std::vector<float> all(y.memory().begin(), y.memory().end());
  all.insert(all.end(), dx.memory().begin(), dx.memory().end());
  all.insert(all.end(), p.adapter.gradient().begin(), p.adapter.gradient().end());
  return all;
}

void check(const auto& view, const layer_case& size) {
  const any_weight weight = view;
  CHECK(weight.d_out() == size.d_out);
  CHECK(weight.d_in() == size.d_in);
  CHECK(weight.order() == view.order());
  CHECK(same_bits<float>(results<sbora::adapter_kind::fa>(weight, size), results<sbora::adapter_kind::fa>(view, size)));
  CHECK(same_bits<float>(results<sbora::adapter_kind::fb>(weight, size), results<sbora::adapter_kind::fb>(view, size)));
}

}  // namespace

TEST_CASE("a layer over any weight has the bits of one over its view") {
  const layer_case size = {.d_out = 20, .d_in = 32, .rank = 4, .tokens = 9, .bias = true};
  const auto dense = [&]<class Scalar>(Scalar) {
    const auto values = random_vector<Scalar>(size.d_out * size.d_in, 5);
    check(sbora::weight_view<const Scalar>(values.data(), size.d_out, size.d_in), size);
    check(sbora::weight_view<const Scalar>(values.data(), size.d_out, size.d_in, 0, sbora::storage::in_by_out), size);
  };
  dense(float{});
  dense(Eigen::bfloat16{});
  dense(Eigen::half{});
  const auto values = random_vector<float>(size.d_out * size.d_in, 6);
  const sbora::weight_view<const float> view(values.data(), size.d_out, size.d_in);
  const sbora::four_bit_weight four(view);
  const sbora::int8_weight eight(view);
  check(four.view(), size);
  check(eight.view(), size);
  const ggml_blocks blocks(size.d_out, size.d_in, sbora::ggml_type::q8_0, 6);
  check(blocks.view(), size);
  CHECK(any_weight(blocks.view()).is_quantised());
  CHECK(any_weight(four.view()).is_quantised());
  CHECK_FALSE(any_weight(view).is_quantised());
}

TEST_CASE("any weight keeps what it is told to own") {
  auto values = std::make_shared<const std::vector<float>>(6, 2.0F);
  const std::weak_ptr<const void> alive = values;
  {
    const any_weight weight(sbora::weight_view<const float>(values->data(), 2, 3), values);
    values.reset();
    CHECK_FALSE(alive.expired());
  }
  CHECK(alive.expired());
}
