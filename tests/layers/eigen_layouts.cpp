// Every Eigen object whose features lie side by side is an activation, without a copy: same bits as the
// view of the same numbers.

#include "support/catch.hpp"
#include "support/layer_problem.hpp"

using namespace sbora_tests;
using Eigen::Dynamic;
using sbora::adapter_kind;

namespace {

using row_major = Eigen::Matrix<float, Dynamic, Dynamic, Eigen::RowMajor>;
using column_major = Eigen::MatrixXf;

row_major rows_of(const padded_matrix<float>& m) {
  row_major copy(m.rows(), m.cols());
  for (index_t i = 0; i < m.rows(); ++i) {
    for (index_t j = 0; j < m.cols(); ++j) copy(i, j) = m(i, j);
  }
  return copy;
}

/// y, dx and gradient of a training forward and backward on these objects.
template <class Problem, class X, class Dy, class Y, class Dx>
void run(Problem& p, X&& x, Dy&& dy, Y&& y, Dx&& dx) {
  sbora::workspace memory;
  typename Problem::adapter_type::saved_type saved;
  p.adapter.zero_gradient();
  p.layer().forward(x, y, p.adapter, saved, memory);
  p.layer().backward(dy, dx, p.adapter, saved, memory);
}

template <adapter_kind Kind>
struct layout_check {
  layer_problem<Kind, float> p{{.d_out = 19, .d_in = 26, .rank = 4, .tokens = 7, .bias = true}};
  row_major x = rows_of(p.x), dy = rows_of(p.dy), y, dx, gradient;

  layout_check() {
    auto y_memory = p.empty_y();
    auto dx_memory = p.empty_dx();
    run(p, activation(std::as_const(p.x)), activation(p.dy), activation(y_memory), activation(dx_memory));
    y = rows_of(y_memory);
    dx = rows_of(dx_memory);
    gradient = p.adapter.gradient_matrix();
  }
  bool same(const row_major& other_y, const row_major& other_dx) {
    return other_y == y && other_dx == dx && p.adapter.gradient_matrix() == gradient;
  }
};

template <adapter_kind Kind>
void check_layouts() {
  layout_check<Kind> c;
  auto& p = c.p;
  {
    INFO("row-major tokens × features");
    row_major y(7, 19), dx(7, 26);
    run(p, c.x, std::as_const(c.dy), y, dx);
    CHECK(c.same(y, dx));
  }
  {
    INFO("column-major features × tokens");
    const column_major x = c.x.transpose(), dy = c.dy.transpose();
    column_major y(19, 7), dx(26, 7);
    run(p, x, dy, y, dx);
    CHECK(c.same(y.transpose(), dx.transpose()));
  }
  {
    INFO("transposed expressions of the other storage order are views too, for whoever says what is meant");
    column_major x = c.x.transpose(), y(19, 7), dx(26, 7);
    auto x_t = x.transpose();
    auto y_t = y.transpose();
    run(p, sbora::tokens_by_features(x_t), c.dy, sbora::tokens_by_features(y_t), dx);
    CHECK(c.same(y.transpose(), dx.transpose()));
  }
  {
    INFO("blocks inside larger matrices, row-major");
    row_major x = row_major::Random(12, 40), y = row_major::Constant(12, 40, 7), dx = y;
    x.block(3, 5, 7, 26) = c.x;
    run(p, x.block(3, 5, 7, 26), c.dy, y.block(2, 8, 7, 19), dx.middleRows(4, 7).leftCols(26));
    CHECK(c.same(y.block(2, 8, 7, 19), dx.block(4, 0, 7, 26)));
    y.block(2, 8, 7, 19).setConstant(7);
    dx.block(4, 0, 7, 26).setConstant(7);
    CHECK((y.array() == 7).all());
    CHECK((dx.array() == 7).all());
  }
  {
    INFO("blocks inside larger matrices, column-major");
    column_major x = column_major::Random(40, 12), y(30, 9), dx(26, 7);
    x.block(5, 3, 26, 7) = c.x.transpose();
    run(p, x.block(5, 3, 26, 7), c.dy, y.block(8, 1, 19, 7), dx);
    CHECK(c.same(y.block(8, 1, 19, 7).transpose(), dx.transpose()));
  }
  {
    INFO("maps with an outer stride, and refs");
    std::vector<float> memory(7 * 31);
    Eigen::Map<row_major, 0, Eigen::OuterStride<>> y(memory.data(), 7, 19, Eigen::OuterStride<>(31));
    const Eigen::Map<const row_major> x(c.x.data(), 7, 26);
    const Eigen::Ref<const row_major> dy(c.dy);
    row_major dx(7, 26);
    Eigen::Ref<row_major> dx_ref(dx);
    run(p, x, dy, y, dx_ref);
    CHECK(c.same(y, dx));
  }
}

template <adapter_kind Kind>
void check_vectors() {
  layout_check<Kind> c;
  sbora::workspace memory;
  const auto layer = c.p.layer();
  row_major expected(1, 19);
  layer.forward(c.x.topRows(1), expected, std::as_const(c.p.adapter), memory);

  const Eigen::VectorXf x = c.x.row(0);
  Eigen::VectorXf y(19);
  layer.forward(x, y, std::as_const(c.p.adapter), memory);
  CHECK(y.transpose() == expected);
  Eigen::RowVectorXf y_row(19);
  layer.forward(c.x.row(0), y_row, std::as_const(c.p.adapter), memory);
  CHECK(y_row == expected);
  row_major y_rows(5, 19);
  layer.forward(x, y_rows.row(2), std::as_const(c.p.adapter), memory);
  CHECK(y_rows.row(2) == expected);
  Eigen::Matrix<float, 19, 1> fixed;
  layer.forward(Eigen::Matrix<float, 1, 26>(c.x.row(0)), fixed, std::as_const(c.p.adapter), memory);
  CHECK(fixed.transpose() == expected);
}

}  // namespace

TEST_CASE("an FA layer takes every layout without a copy") { check_layouts<adapter_kind::fa>(); }
TEST_CASE("an FB layer takes every layout without a copy") { check_layouts<adapter_kind::fb>(); }
TEST_CASE("a vector is one token of an FA layer") { check_vectors<adapter_kind::fa>(); }
TEST_CASE("a vector is one token of an FB layer") { check_vectors<adapter_kind::fb>(); }

TEST_CASE("an activation_view has the outer stride of the object") {
  row_major x(7, 26);
  const auto rows = sbora::detail::as_activation<const float>(x.middleCols(2, 5));
  CHECK(rows.data == x.data() + 2);
  CHECK(rows.tokens == 7);
  CHECK(rows.features == 5);
  CHECK(rows.stride == 26);
  column_major c(26, 7);
  const auto columns = sbora::detail::as_activation<float>(c.middleCols(2, 5));
  CHECK(columns.data == c.data() + 52);
  CHECK(columns.tokens == 5);
  CHECK(columns.features == 26);
  CHECK(columns.stride == 26);
  CHECK(sbora::activation_view<float>(c.data(), 7, 26).stride == 26);
}
