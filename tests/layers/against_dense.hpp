#pragma once

#include "support/catch.hpp"
#include "support/layer_problem.hpp"

namespace sbora_tests {

/// forward and backward of one layer, with and without its adapter, against the dense one-hot product.
/// Results start as NaN, so that reading one shows; gradients start as something that must stay in.
template <sbora::adapter_kind Kind, class Scalar>
void check_against_dense(const layer_case& size, std::uint64_t seed) {
  CAPTURE(size, seed, Kind == sbora::adapter_kind::fa);
  layer_problem<Kind, Scalar> p(size, seed);
  using T = typename layer_problem<Kind, Scalar>::T;
  auto layer = p.layer();
  constexpr sbora::delta_path paths[] = {sbora::delta_path::automatic, sbora::delta_path::on_pack,
                                         sbora::delta_path::separate};
  layer.set_delta_path(paths[seed % 3]);
  const layer_problem<Kind, Scalar> before(size, seed);  // nothing but results may change
  sbora::workspace memory;
  const long double gamma_y = gamma_of<T>(p.roundings(size.d_in));
  const long double gamma_dx = gamma_of<T>(p.roundings(size.d_out));

  {
    INFO("eval");
    const exact_results exact = exact_layer(p, false);
    auto y = p.empty_y();
    layer.forward(activation(p.x), activation(y), std::as_const(p.adapter), memory);
    CHECK(first_difference(y, exact.y, exact.y_magnitude, gamma_y) == "");
    CHECK(y.padding_intact());
    CHECK(p.adapter.dropout_step() == 0);
  }
  {
    INFO("training");
    const exact_results exact = exact_layer(p, true, 7);
    auto y = p.empty_y();
    auto dx = p.empty_dx();
    typename decltype(p)::adapter_type::saved_type saved;
    p.adapter.set_dropout_step(7);
    layer.forward(activation(p.x), activation(y), p.adapter, saved, memory);
    CHECK(p.adapter.dropout_step() == (size.tokens > 0 ? 8 : 7));
    CHECK(saved.tokens() == size.tokens);
    CHECK(first_difference(y, exact.y, exact.y_magnitude, gamma_y) == "");
    CHECK(y.padding_intact());

    fill_random(p.adapter.gradient(), seed + 20);
    const exact_matrix kept = exact_of(p.adapter.gradient_matrix());
    layer.backward(activation(p.dy), activation(dx), p.adapter, saved, memory);
    CHECK(first_difference(dx, exact.dx, exact.dx_magnitude, gamma_dx) == "");
    CHECK(dx.padding_intact());
    CHECK(first_difference(p.adapter.gradient_matrix(), kept + exact.gradient,
                           kept.cwiseAbs() + exact.gradient_magnitude, gamma_of<T>(p.roundings(size.tokens))) == "");

    const std::vector<T> gradient(p.adapter.gradient().begin(), p.adapter.gradient().end());
    fill_random(p.adapter.gradient(), seed + 20);
    layer.backward(activation(p.dy), sbora::no_dx, p.adapter, saved, memory);
    CHECK(same_bits<T>(p.adapter.gradient(), gradient));
  }
  {
    INFO("the frozen layer alone");
    p.adapter.set_enabled(false);
    const exact_results exact = exact_layer(p, false);
    auto y = p.empty_y();
    auto dx = p.empty_dx();
    layer.forward(activation(p.x), activation(y), memory);
    layer.backward(activation(p.dy), activation(dx), memory);
    CHECK(first_difference(y, exact.y, exact.y_magnitude, gamma_y) == "");
    CHECK(first_difference(dx, exact.dx, exact.dx_magnitude, gamma_dx) == "");
    CHECK(y.padding_intact());
    CHECK(dx.padding_intact());
  }
  CHECK(same_bits(p.weight.memory(), before.weight.memory()));
  CHECK(same_bits(p.x.memory(), before.x.memory()));
  CHECK(same_bits(p.dy.memory(), before.dy.memory()));
  CHECK(same_bits<T>(p.bias, before.bias));
  CHECK(same_bits<T>(std::as_const(p.adapter).parameters(), before.adapter.parameters()));
}

/// All that sizes, strides, storage orders, bias and dropout can do together.
template <class Scalar>
void check_sizes_against_dense() {
  using enum sbora::storage;
  // d_out, d_in, rank, tokens, order, padding, bias, dropout
  const layer_case cases[] = {
      {37, 29, 5, 11, out_by_in, 0, false, 0},   {37, 29, 5, 11, in_by_out, 0, false, 0},
      {37, 29, 5, 11, out_by_in, 3, true, 0.3},  {37, 29, 5, 11, in_by_out, 3, true, 0.3},
      {24, 40, 8, 0, out_by_in, 0, true, 0.2},   {24, 40, 8, 1, in_by_out, 1, false, 0.5},
      {24, 40, 1, 2, out_by_in, 1, true, 0},     {24, 40, 24, 5, in_by_out, 0, false, 0},
      {33, 33, 33, 37, out_by_in, 5, true, 0.1}, {17, 23, 3, 130, in_by_out, 2, true, 0},
      {1, 1, 1, 1, out_by_in, 0, true, 0},       {1, 45, 1, 5, in_by_out, 0, false, 0},
      {300, 21, 9, 37, out_by_in, 0, true, 0.2}, {21, 530, 16, 5, in_by_out, 7, false, 0},
      {130, 270, 4, 70, out_by_in, 1, true, 0},
  };
  std::uint64_t seed = 1;
  for (const layer_case& size : cases) {
    if (size.rank <= size.d_in) check_against_dense<sbora::adapter_kind::fa, Scalar>(size, ++seed);
    if (size.rank <= size.d_out) check_against_dense<sbora::adapter_kind::fb, Scalar>(size, ++seed);
  }
}

}  // namespace sbora_tests
