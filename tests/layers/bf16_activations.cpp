// bfloat16 activations: the bits of the same call on their float values, results rounded once at the end.
// Where bf16 is multiplied in pairs (avx512_bf16), the same within bounds.

#include <array>

#include "support/catch.hpp"
#include "support/layer_problem.hpp"

using namespace sbora_tests;
using Eigen::bfloat16;
using sbora::adapter_kind;

namespace {

padded_matrix<bfloat16> narrowed(const padded_matrix<float>& m) {
  padded_matrix<bfloat16> result(m.rows(), m.cols(), 3);
  for (index_t i = 0; i < m.rows(); ++i) {
    for (index_t j = 0; j < m.cols(); ++j) result(i, j) = bfloat16(m(i, j));
  }
  return result;
}
padded_matrix<float> widened(const padded_matrix<bfloat16>& m) {
  padded_matrix<float> result(m.rows(), m.cols(), 1);
  for (index_t i = 0; i < m.rows(); ++i) {
    for (index_t j = 0; j < m.cols(); ++j) result(i, j) = static_cast<float>(m(i, j));
  }
  return result;
}

/// Empty, or the first element of `got` that isn't `expected` (bits, or within a bound for pairs).
std::string difference(const padded_matrix<float>& got, const padded_matrix<float>& expected, bool exact) {
  for (index_t i = 0; i < got.rows(); ++i) {
    for (index_t j = 0; j < got.cols(); ++j) {
      const float a = got(i, j), b = expected(i, j);
      // Pairs: sums of at most 600 terms of at most 1, rounded differently.
      const bool same = exact ? a == b : std::abs(a - b) <= 600 * 600 * 0x1p-24F;
      if (!same) {
        return std::to_string(i) + ", " + std::to_string(j) + ": " + std::to_string(a) + " instead of " +
               std::to_string(b);
      }
    }
  }
  return "";
}

template <adapter_kind Kind, class Scalar>
void check(const layer_case& size, sbora::delta_path path) {
  CAPTURE(size, Kind == adapter_kind::fa, static_cast<int>(path));
  // Pairs (vdpbf16ps) round otherwise. They take products of two bf16 operands: those with a bf16 weight, and
  // FB's gradient, which is dyᵀ·x.
  const bool no_pairs =
      sbora::detail::find_kernels<sbora::detail::pair_kernels<sbora::bf16>>(sbora::active_isa()) == nullptr;
  const bool exact = no_pairs || !std::is_same_v<Scalar, bfloat16>;
  layer_problem<Kind, Scalar> p(size);
  auto layer = p.layer();
  layer.set_delta_path(path);
  sbora::workspace memory;
  const padded_matrix<bfloat16> x = narrowed(p.x), dy = narrowed(p.dy);
  const padded_matrix<float> wide_x = widened(x), wide_dy = widened(dy);
  constexpr bool fa = Kind == adapter_kind::fa;
  const bool exact_gradient = no_pairs || fa;
  std::conditional_t<fa, sbora::fa_saved<float>, sbora::fb_saved<float, bfloat16>> saved;
  typename layer_problem<Kind, Scalar>::adapter_type::saved_type wide_saved;

  padded_matrix<float> y(size.tokens, size.d_out, 0), wide_y(y), dx(size.tokens, size.d_in, 2), wide_dx(dx);
  padded_matrix<bfloat16> narrow_y(size.tokens, size.d_out, 4), narrow_dx(size.tokens, size.d_in, 1);

  const std::array deltas = {p.adapter.delta()};
  layer.forward(activation(x), activation(y), deltas, memory);
  layer.forward(activation(wide_x), activation(wide_y), deltas, memory);
  CHECK(difference(y, wide_y, exact) == "");
  layer.forward(activation(x), activation(narrow_y), deltas, memory);
  CHECK(difference(widened(narrow_y), widened(narrowed(y)), true) == "");
  CHECK(narrow_y.padding_intact());
  layer.backward(activation(dy), activation(narrow_dx), deltas, memory);
  layer.backward(activation(dy), activation(dx), deltas, memory);
  CHECK(difference(widened(narrow_dx), widened(narrowed(dx)), true) == "");

  p.adapter.zero_gradient();
  layer.forward(activation(wide_x), activation(wide_y), p.adapter, wide_saved, memory);
  layer.backward(activation(wide_dy), activation(wide_dx), p.adapter, wide_saved, memory);
  padded_matrix<float> wide_gradient(p.adapter.gradient_matrix().rows(), p.adapter.gradient_matrix().cols(), 0);
  for (index_t i = 0; i < wide_gradient.rows(); ++i) {
    for (index_t j = 0; j < wide_gradient.cols(); ++j) wide_gradient(i, j) = p.adapter.gradient_matrix()(i, j);
  }
  const auto check_step = [&](auto& result_y, auto& result_dx) {
    p.adapter.zero_gradient();
    p.adapter.set_dropout_step(0);
    layer.forward(activation(x), activation(result_y), p.adapter, saved, memory);
    layer.backward(activation(dy), activation(result_dx), p.adapter, saved, memory);
    padded_matrix<float> gradient(wide_gradient);
    for (index_t i = 0; i < gradient.rows(); ++i) {
      for (index_t j = 0; j < gradient.cols(); ++j) gradient(i, j) = p.adapter.gradient_matrix()(i, j);
    }
    CHECK(difference(gradient, wide_gradient, exact_gradient) == "");
  };
  check_step(y, dx);
  CHECK(difference(y, wide_y, exact) == "");
  CHECK(difference(dx, wide_dx, exact) == "");
  check_step(narrow_y, narrow_dx);
  CHECK(difference(widened(narrow_y), widened(narrowed(y)), true) == "");
  CHECK(difference(widened(narrow_dx), widened(narrowed(dx)), true) == "");
}

}  // namespace

TEMPLATE_TEST_CASE("bfloat16 activations give the bits of their float values", "", float, bfloat16, Eigen::half) {
  using enum sbora::storage;
  const layer_case cases[] = {{37, 29, 5, 3, out_by_in, 1, true, 0},     {37, 29, 5, 1, in_by_out, 0, false, 0.3},
                              {40, 300, 8, 37, out_by_in, 0, true, 0},   {40, 300, 8, 37, in_by_out, 2, false, 0},
                              {70, 45, 16, 20, out_by_in, 0, true, 0.2}, {24, 31, 3, 0, out_by_in, 0, true, 0}};
  for (const layer_case& size : cases) {
    for (const sbora::delta_path path : {sbora::delta_path::automatic, sbora::delta_path::separate,
                                         sbora::delta_path::on_pack, sbora::delta_path::on_pack_rounded}) {
      check<adapter_kind::fa, TestType>(size, path);
      check<adapter_kind::fb, TestType>(size, path);
    }
  }
}

TEST_CASE("the delta alone takes bfloat16 inputs") {
  layer_problem<adapter_kind::fb, float> p({.d_out = 20, .d_in = 30, .tokens = 21, .dropout = 0.25});
  const padded_matrix<bfloat16> x = narrowed(p.x), dy = narrowed(p.dy);
  const padded_matrix<float> wide_x = widened(x), wide_dy = widened(dy);
  padded_matrix<float> y(p.dy), wide_y(p.dy), dx(p.x), wide_dx(p.x);
  sbora::workspace memory;
  sbora::fb_saved<float, bfloat16> saved;
  sbora::fb_saved<float> wide_saved;
  sbora::delta_forward(p.adapter, activation(wide_x), activation(wide_y), wide_saved, memory);
  sbora::delta_backward(p.adapter, activation(wide_dy), activation(wide_dx), wide_saved, memory);
  const std::vector<float> gradient(p.adapter.gradient().begin(), p.adapter.gradient().end());
  p.adapter.zero_gradient();
  p.adapter.set_dropout_step(0);
  sbora::delta_forward(p.adapter, activation(x), activation(y), saved, memory);
  sbora::delta_backward(p.adapter, activation(dy), activation(dx), saved, memory);
  CHECK(same_bits(y.memory(), wide_y.memory()));
  CHECK(same_bits(dx.memory(), wide_dx.memory()));
  CHECK(same_bits<float>(p.adapter.gradient(), gradient));
}
