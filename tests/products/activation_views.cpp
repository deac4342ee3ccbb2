// Activations whose stride isn't their width: 0 is one token for all, which Eigen's maps can say, and less than the
// width overlapping windows; both are inputs like others. And the two functions that say what rows are.

#include "support/catch.hpp"
#include "support/layer_problem.hpp"

using namespace sbora_tests;
using sbora::activation_view;
using sbora::adapter_kind;
using sbora::features_by_tokens;
using sbora::tokens_by_features;

namespace {

using row_major = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using row_map = Eigen::Map<const row_major, 0, Eigen::OuterStride<>>;

struct results {
  std::vector<float> y, dx, gradient;
  bool operator==(const results&) const = default;
};

/// Of a training step, and of evaluation, on these inputs.
template <class Problem, class X, class Dy>
results step(Problem& p, const X& x, const Dy& dy) {
  results r;
  const index_t tokens = p.size.tokens;
  r.y.resize(static_cast<std::size_t>(2 * tokens * p.size.d_out));
  r.dx.resize(static_cast<std::size_t>(tokens * p.size.d_in));
  activation_view<float> y(r.y.data(), tokens, p.size.d_out), dx(r.dx.data(), tokens, p.size.d_in);
  sbora::workspace memory;
  typename Problem::adapter_type::saved_type saved;
  p.adapter.zero_gradient();
  p.adapter.set_dropout_step(0);
  p.layer().forward(x, y, p.adapter, saved, memory);
  p.layer().backward(dy, dx, p.adapter, saved, memory);
  y.data += tokens * p.size.d_out;
  p.layer().forward(x, y, memory);
  r.gradient.assign(p.adapter.gradient().begin(), p.adapter.gradient().end());
  return r;
}

/// The bits of the same numbers written out, for each number of tokens that a product treats in its own way.
template <adapter_kind Kind>
void check_strides(index_t x_stride, index_t dy_stride) {
  for (const index_t tokens : {1, 2, 7, 13, 40, 150}) {
    for (const double dropout : {0.0, 0.4}) {
      CAPTURE(tokens, dropout, x_stride, dy_stride);
      layer_problem<Kind, float> p({.d_out = 48, .d_in = 64, .rank = 4, .tokens = tokens, .dropout = dropout});
      const auto memory = random_vector<float>(tokens * 64 + 64, 3);
      const row_map x(memory.data(), tokens, 64, Eigen::OuterStride<>(x_stride));
      const row_map dy(memory.data() + 5, tokens, 48, Eigen::OuterStride<>(dy_stride));
      const row_major whole_x = x, whole_dy = dy;
      CHECK(step(p, x, dy) == step(p, whole_x, whole_dy));
    }
  }
}

}  // namespace

TEST_CASE("a stride of 0 is one token for all: FA") { check_strides<adapter_kind::fa>(0, 0); }
TEST_CASE("a stride of 0 is one token for all: FB") { check_strides<adapter_kind::fb>(0, 0); }
TEST_CASE("windows that overlap are inputs: FA") { check_strides<adapter_kind::fa>(1, 7); }
TEST_CASE("windows that overlap are inputs: FB") { check_strides<adapter_kind::fb>(7, 1); }

TEST_CASE("an activation_view has the stride that it is given") {
  float memory[64];
  CHECK(activation_view<float>(memory, 3, 8).stride == 8);
  CHECK(activation_view<float>(memory, 3, 8, 0).stride == 0);
  CHECK(activation_view<float>(memory, 3, 8, 11).stride == 11);
  const row_map broadcast(memory, 3, 8, Eigen::OuterStride<>(0));
  CHECK(sbora::detail::as_activation<const float>(broadcast).stride == 0);
  CHECK(tokens_by_features(broadcast).stride == 0);
}

TEST_CASE("rows are what the caller says") {
  row_major rows(7, 26);
  Eigen::MatrixXf columns(26, 7);
  const auto is = [](const auto& view, const void* data, index_t tokens, index_t features, index_t stride) {
    return view.data == data && view.tokens == tokens && view.features == features && view.stride == stride;
  };
  CHECK(is(tokens_by_features(rows), rows.data(), 7, 26, 26));
  CHECK(is(tokens_by_features(columns.transpose()), columns.data(), 7, 26, 26));
  CHECK(is(features_by_tokens(columns), columns.data(), 7, 26, 26));
  CHECK(is(features_by_tokens(rows.transpose()), rows.data(), 7, 26, 26));
  CHECK(is(tokens_by_features(rows.middleCols(3, 4)), rows.data() + 3, 7, 4, 26));
  CHECK(is(features_by_tokens(columns.middleRows(3, 4)), columns.data() + 3, 7, 4, 26));

  Eigen::VectorXf column(5);
  Eigen::RowVectorXf row(5);
  CHECK(is(features_by_tokens(column), column.data(), 1, 5, 5));
  CHECK(is(tokens_by_features(row), row.data(), 1, 5, 5));
  CHECK(is(tokens_by_features(column), column.data(), 5, 1, 1));
  CHECK(is(features_by_tokens(row), row.data(), 5, 1, 1));

  STATIC_REQUIRE(std::is_same_v<decltype(tokens_by_features(rows)), activation_view<float>>);
  STATIC_REQUIRE(std::is_same_v<decltype(tokens_by_features(std::as_const(rows))), activation_view<const float>>);
}

TEST_CASE("what is said by the caller goes into a layer") {
  layer_problem<adapter_kind::fa, float> p({.d_out = 16, .d_in = 16, .rank = 4, .tokens = 16});
  sbora::workspace memory;
  row_major x = row_major::Random(16, 16), y(16, 16), other(16, 16);
  Eigen::MatrixXf x_columns = x.transpose(), y_columns(16, 16);
  p.layer().forward(x, y, memory);
  p.layer().forward(tokens_by_features(x), tokens_by_features(other), memory);
  CHECK(other == y);
  p.layer().forward(features_by_tokens(x_columns), features_by_tokens(y_columns), memory);
  CHECK(row_major(y_columns.transpose()) == y);
  using bf16_rows = Eigen::Matrix<Eigen::bfloat16, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const bf16_rows half = x.cast<Eigen::bfloat16>();
  p.layer().forward(half, y, memory);
  p.layer().forward(tokens_by_features(half), other, memory);
  CHECK(other == y);
}
