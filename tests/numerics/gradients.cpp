// Backward against central differences in double: parameters and inputs, 1e-7 relative.
//
// The loss is ½·Σ(y - target)², a polynomial of degree 2 in each number, of which central differences
// are exact; h is a power of two, so that only the loss's own rounding is left.

#include "support/catch.hpp"
#include "support/layer_problem.hpp"

using namespace sbora_tests;
using sbora::adapter_kind;

namespace {

constexpr double h = 0x1p-7;

template <adapter_kind Kind>
struct gradient_check {
  layer_problem<Kind, double> p;
  bool column_major;
  typename layer_problem<Kind, double>::layer_type layer = p.layer();
  Eigen::MatrixXd x, y, target;  // features × tokens
  sbora::workspace memory;
  typename layer_problem<Kind, double>::adapter_type::saved_type saved;

  gradient_check(const layer_case& size, bool columns)
      : p(size),
        column_major(columns),
        x(size.d_in, size.tokens),
        y(size.d_out, size.tokens),
        target(size.d_out, size.tokens) {
    for (index_t t = 0; t < size.tokens; ++t) {
      for (index_t f = 0; f < size.d_in; ++f) x(f, t) = p.x(t, f);
      for (index_t o = 0; o < size.d_out; ++o) target(o, t) = p.dy(t, o);
    }
  }

  /// Training forward with the mask of step 5.
  void forward() {
    p.adapter.set_dropout_step(5);
    if (column_major) {
      layer.forward(x, y, p.adapter, saved, memory);
    } else {
      // Rows with a stride: x is the left half of a wider matrix, NaN beside it.
      for (index_t t = 0; t < x.cols(); ++t) {
        for (index_t f = 0; f < x.rows(); ++f) p.x(t, f) = x(f, t);
      }
      auto out = p.empty_y();
      layer.forward(activation(p.x), activation(out), p.adapter, saved, memory);
      for (index_t t = 0; t < x.cols(); ++t) {
        for (index_t o = 0; o < y.rows(); ++o) y(o, t) = out(t, o);
      }
    }
  }
  long double loss() {
    forward();
    long double sum = 0;
    for (index_t i = 0; i < y.size(); ++i) {
      const long double e = static_cast<long double>(y.data()[i]) - target.data()[i];
      sum += e * e;
    }
    return sum / 2;
  }
  double difference(double& number) {
    const double kept = number;
    number = kept + h;
    const long double above = loss();
    number = kept - h;
    const long double below = loss();
    number = kept;
    return static_cast<double>((above - below) / (2 * static_cast<long double>(h)));
  }

  /// Largest error relative to the largest gradient of each kind.
  void check() {
    forward();
    const Eigen::MatrixXd dy = y - target;
    Eigen::MatrixXd dx(x.rows(), x.cols());
    p.adapter.zero_gradient();
    if (column_major) {
      layer.backward(dy, dx, p.adapter, saved, memory);
    } else {
      padded_matrix<double> dy_rows = p.empty_y(), dx_rows = p.empty_dx();
      for (index_t t = 0; t < dy.cols(); ++t) {
        for (index_t o = 0; o < dy.rows(); ++o) dy_rows(t, o) = dy(o, t);
      }
      layer.backward(activation(dy_rows), activation(dx_rows), p.adapter, saved, memory);
      for (index_t t = 0; t < dx.cols(); ++t) {
        for (index_t f = 0; f < dx.rows(); ++f) dx(f, t) = dx_rows(t, f);
      }
    }
    const std::vector<double> gradient(p.adapter.gradient().begin(), p.adapter.gradient().end());
    double worst = 0, largest = 0;
    for (std::size_t i = 0; i < gradient.size(); ++i) {
      worst = std::max(worst, std::abs(gradient[i] - difference(p.adapter.parameters()[i])));
      largest = std::max(largest, std::abs(gradient[i]));
    }
    CHECK(largest > 0);
    CHECK(worst <= 1e-7 * largest);
    worst = largest = 0;
    for (index_t i = 0; i < x.size(); ++i) {
      worst = std::max(worst, std::abs(dx.data()[i] - difference(x.data()[i])));
      largest = std::max(largest, std::abs(dx.data()[i]));
    }
    CHECK(largest > 0);
    CHECK(worst <= 1e-7 * largest);
  }
};

template <adapter_kind Kind>
void check_gradients() {
  using enum sbora::storage;
  for (const layer_case& size : {
           layer_case{.d_out = 9, .d_in = 13, .rank = 4, .tokens = 7},
           layer_case{.d_out = 13, .d_in = 9, .rank = 4, .tokens = 7, .order = in_by_out, .bias = true},
           layer_case{.d_out = 9, .d_in = 13, .rank = 1, .tokens = 3, .padding = 2, .bias = true, .dropout = 0.4},
           layer_case{.d_out = 11,
           .d_in = 11,
           .rank = 11,
           .tokens = 5,
           .order = in_by_out,
           .padding = 5,
           .bias = true,
           .dropout = 0.25},
           layer_case{.d_out = 40, .d_in = 35, .rank = 6, .tokens = 1, .dropout = 0.1},
       }) {
    for (const bool column_major : {false, true}) {
      CAPTURE(size, column_major);
      gradient_check<Kind>(size, column_major).check();
    }
  }
}

}  // namespace

TEST_CASE("FA gradients are central differences") { check_gradients<adapter_kind::fa>(); }
TEST_CASE("FB gradients are central differences") { check_gradients<adapter_kind::fb>(); }
