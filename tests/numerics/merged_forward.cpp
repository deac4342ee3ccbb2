// A merged weight computes what weight and adapter compute, and unmerged it is what it was. With these,
// the tests of PEFT's suite that apply here (features_and_formats.md, E).

#include <sbora/sbora.hpp>

#include "support/catch.hpp"
#include "support/layer_problem.hpp"
#include "support/merge_problem.hpp"

using namespace sbora_tests;
using sbora::adapter_kind;

namespace {

/// Half the gap between neighbours, relative: what rounding to Scalar may change.
template <class Scalar>
long double rounding_of() {
  if constexpr (std::is_same_v<Scalar, Eigen::bfloat16>) {
    return 0x1p-8L;
  } else if constexpr (std::is_same_v<Scalar, Eigen::half>) {
    return 0x1p-11L;
  } else {
    return std::numeric_limits<Scalar>::epsilon() / 2;
  }
}

/// A writable weight beside the const one of layer_problem.
template <adapter_kind Kind, class Scalar>
struct mergeable : layer_problem<Kind, Scalar> {
  explicit mergeable(sbora::storage order)
      : layer_problem<Kind, Scalar>(
            {.d_out = 37, .d_in = 53, .rank = 7, .tokens = 11, .order = order, .padding = 1, .bias = true}),
        merger(sbora::weight_view<Scalar>(this->weight.data(), 37, 53, this->weight.stride(), order)) {}

  padded_matrix<typename mergeable::T> forward(bool with_adapter) {
    auto y = this->empty_y();
    if (with_adapter) {
      this->layer().forward(activation(this->x), activation(y), std::as_const(this->adapter), memory);
    } else {
      this->layer().forward(activation(this->x), activation(y), memory);
    }
    return y;
  }

  sbora::merger<Scalar> merger;
  sbora::workspace memory;
};

// test_merge_layers, test_merge_layers_fp16.
template <adapter_kind Kind, class Scalar>
void check_merged_forward(sbora::storage order) {
  mergeable<Kind, Scalar> p(order);
  using T = typename mergeable<Kind, Scalar>::T;
  const exact_results exact = exact_layer(p, false);
  const padded_matrix<Scalar> original = p.weight;
  const auto base = p.forward(false), adapted = p.forward(true);
  const long double gamma = gamma_of<T>(p.roundings(53));
  CHECK(first_difference(adapted, exact.y, exact.y_magnitude, gamma) == "");
  CHECK(first_difference(base, exact.y, exact.y_magnitude, gamma) != "");  // the adapter matters

  p.merger.merge(p.adapter);
  const auto merged = p.forward(false);
  CHECK(first_difference(merged, exact.y, exact.y_magnitude, gamma + 2 * rounding_of<Scalar>()) == "");
  p.merger.unmerge(p.adapter);
  CHECK(same_bits(p.weight.memory(), original.memory()));
  CHECK(same_bits(p.forward(false).memory(), base.memory()));
  CHECK(same_bits(p.forward(true).memory(), adapted.memory()));
}

/// Three adapters on disjoint regions of one weight.
template <adapter_kind Kind>
struct three_adapters : mergeable<Kind, float> {
  three_adapters() : mergeable<Kind, float>(sbora::storage::out_by_in) {
    const std::vector<index_t> ranks = {4, 6, 9};
    for (const auto& target : sbora::partition_regions(Kind == adapter_kind::fa ? 53 : 37, ranks, 2)) {
      adapters.emplace_back(37, 53, target);
      fill_random(adapters.back().parameters(), 50 + adapters.size());
    }
  }
  std::vector<sbora::basic_adapter<Kind, float>> adapters;
};

// test_multiple_active_adapters_forward, _merge_and_unmerge; test_sequential_merge_matches_batch_merge;
// test_unmerge_after_sequential_merge_restores_base.
template <adapter_kind Kind>
void check_several_adapters() {
  three_adapters<Kind> p;
  const padded_matrix<float> original = p.weight;
  auto sum = p.forward(false);
  exact_matrix exact = exact_matrix::Zero(11, 37), magnitude = exact;
  for (auto& a : p.adapters) {
    delta_forward(std::as_const(a), activation(p.x), activation(sum), p.memory);
    std::swap(a, p.adapter);
    const exact_results with = exact_layer(p, false);
    p.adapter.set_enabled(false);
    const exact_results without = exact_layer(p, false);
    p.adapter.set_enabled(true);
    std::swap(a, p.adapter);
    exact += exact.isZero(0) ? with.y : exact_matrix(with.y - without.y);
    magnitude += with.y_magnitude;
  }
  const long double gamma = gamma_of<float>(3 * p.roundings(53));
  CHECK(first_difference(sum, exact, magnitude, gamma) == "");

  std::vector<padded_matrix<float>> merged;
  for (const auto& order : {std::array{0, 1, 2}, std::array{2, 0, 1}, std::array{1, 2, 0}}) {
    for (const int i : order) p.merger.merge(p.adapters[static_cast<std::size_t>(i)]);
    merged.push_back(p.weight);
    CHECK(first_difference(p.forward(false), exact, magnitude, gamma) == "");
    for (const int i : {1, 2, 0}) p.merger.unmerge(p.adapters[static_cast<std::size_t>(i)]);
    CHECK(same_bits(p.weight.memory(), original.memory()));
  }
  CHECK(same_bits(merged[0].memory(), merged[1].memory()));
  CHECK(same_bits(merged[0].memory(), merged[2].memory()));
}

// test_only_params_are_updated, test_disable_adapters, test_lorafa: a few steps of training.
template <adapter_kind Kind>
void check_training() {
  mergeable<Kind, float> p(sbora::storage::in_by_out);
  const mergeable<Kind, float> before(sbora::storage::in_by_out);
  const auto base = p.forward(false);
  std::fill(p.adapter.parameters().begin(), p.adapter.parameters().end(), 0.0F);
  CHECK(same_bits(p.forward(true).memory(), base.memory()));  // a new adapter changes nothing

  sbora::adamw<float> optimiser(p.adapter.parameter_count(), {.learning_rate = 0.05});
  typename decltype(p.adapter)::saved_type saved;
  std::vector<double> losses;
  for (int step = 0; step < 30; ++step) {
    auto y = p.empty_y();
    p.layer().forward(activation(p.x), activation(y), p.adapter, saved, p.memory);
    double loss = 0;
    for (index_t t = 0; t < 11; ++t) {
      for (index_t o = 0; o < 37; ++o) {
        y(t, o) -= p.dy(t, o);  // targets
        loss += y(t, o) * y(t, o);
      }
    }
    losses.push_back(loss);
    p.adapter.zero_gradient();
    p.layer().backward(activation(y), sbora::no_dx, p.adapter, saved, p.memory);
    optimiser.step(p.adapter.parameters(), p.adapter.gradient());
  }
  CHECK(losses.back() < losses.front());  // random targets: how far is a matter of rank
  CHECK(same_bits(p.weight.memory(), before.weight.memory()));
  CHECK(same_bits<float>(p.bias, before.bias));
  CHECK(same_bits(p.x.memory(), before.x.memory()));
  CHECK(p.adapter.target() == before.adapter.target());
  CHECK_FALSE(same_bits(p.forward(true).memory(), base.memory()));
  p.adapter.set_enabled(false);
  CHECK(same_bits(p.forward(true).memory(), base.memory()));
}

}  // namespace

TEMPLATE_TEST_CASE("forward of the merged weight is forward with the adapter", "", float, double, Eigen::bfloat16,
                   Eigen::half) {
  for (const sbora::storage order : both_orders) {
    check_merged_forward<adapter_kind::fa, TestType>(order);
    check_merged_forward<adapter_kind::fb, TestType>(order);
  }
}

TEST_CASE("several FA adapters at once, merged or not") { check_several_adapters<adapter_kind::fa>(); }
TEST_CASE("several FB adapters at once, merged or not") { check_several_adapters<adapter_kind::fb>(); }
TEST_CASE("training FA changes its parameters only") { check_training<adapter_kind::fa>(); }
TEST_CASE("training FB changes its parameters only") { check_training<adapter_kind::fb>(); }

// test_disable_adapters_exiting_context_restores_previous_state.
TEST_CASE("a scoped merge changes the forward inside and nothing outside") {
  mergeable<adapter_kind::fa, float> p(sbora::storage::out_by_in);
  const auto base = p.forward(false);
  {
    const sbora::scoped_merge merged(p.merger, p.adapter);
    CHECK_FALSE(same_bits(p.forward(false).memory(), base.memory()));
  }
  CHECK(same_bits(p.forward(false).memory(), base.memory()));
}
