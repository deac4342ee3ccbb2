// An adapter of W used over Wᵀ: the same as one of the other kind with the transposed half.

#include <sbora/adapters/transposed.hpp>
#include <sbora/adapters/with_gradient.hpp>

#include "support/layer_problem.hpp"
#include "support/message.hpp"

using namespace sbora_tests;
using sbora::adapter_kind;

namespace {

template <class T>
using dense = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

template <adapter_kind Kind>
void check_transposed(double dropout, bool on_pack) {
  constexpr adapter_kind other_kind = Kind == adapter_kind::fa ? adapter_kind::fb : adapter_kind::fa;
  layer_problem<Kind, double> p({.d_out = 19, .d_in = 34, .rank = 5, .tokens = 23, .dropout = dropout});
  const dense<double> w = dense<double>::Random(34, 19), x = dense<double>::Random(23, 19);
  const dense<double> dy = dense<double>::Random(23, 34);
  sbora::linear layer{sbora::weight_view{w}};  // over the transposed weight
  if (on_pack) layer.set_delta_path(sbora::delta_path::on_pack);

  sbora::basic_adapter<other_kind, double> expected(34, 19, p.adapter.target(), p.adapter.options());
  expected.matrix() = p.adapter.matrix().transpose();
  sbora::transposed seen(p.adapter);
  CHECK(seen.d_out() == 34);
  CHECK(seen.d_in() == 19);
  p.adapter.zero_gradient();

  sbora::workspace memory;
  typename sbora::basic_adapter<other_kind, double>::saved_type saved, expected_saved;
  dense<double> y(23, 34), expected_y(23, 34), dx(23, 19), expected_dx(23, 19);
  const std::size_t bytes = layer.workspace_bytes(23, seen);
  std::vector<std::byte> room(bytes);
  sbora::workspace exact(room);
  layer.forward(x, y, seen, saved, exact);
  layer.backward(dy, dx, seen, saved, exact);
  layer.forward(x, expected_y, expected, expected_saved, memory);
  layer.backward(dy, expected_dx, expected, expected_saved, memory);
  // Sums of at most 34 products of numbers up to 1 and an alpha of 8: far below 1e-12.
  CHECK((y - expected_y).cwiseAbs().maxCoeff() < 1e-12);
  CHECK((dx - expected_dx).cwiseAbs().maxCoeff() < 1e-12);
  CHECK((p.adapter.gradient_matrix() - expected.gradient_matrix().transpose()).cwiseAbs().maxCoeff() < 1e-12);
  CHECK(expected.gradient_matrix().cwiseAbs().maxCoeff() > 0.1);
  CHECK(p.adapter.dropout_step() == expected.dropout_step());

  const sbora::weight_delta<double> delta = seen.delta();
  layer.forward(x, y, std::span(&delta, 1), memory);
  layer.forward(x, expected_y, std::as_const(expected), memory);
  CHECK((y - expected_y).cwiseAbs().maxCoeff() < 1e-12);
}

}  // namespace

TEST_CASE("an adapter serves the transposed weight: FA as FB") {
  for (const double dropout : {0.0, 0.3}) {
    for (const bool on_pack : {true, false}) check_transposed<adapter_kind::fa>(dropout, on_pack);
  }
}

TEST_CASE("an adapter serves the transposed weight: FB as FA") {
  for (const double dropout : {0.0, 0.3}) {
    for (const bool on_pack : {true, false}) check_transposed<adapter_kind::fb>(dropout, on_pack);
  }
}
