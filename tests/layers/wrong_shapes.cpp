// Shapes that don't fit are found before anything is written, in every build, and named with both numbers.

#include "support/layer_problem.hpp"
#include "support/message.hpp"

using namespace sbora_tests;
using sbora::adapter_kind;
using sbora::assertion_error;

namespace {

template <adapter_kind Kind>
struct shapes {
  layer_problem<Kind, float> p{{.d_out = 21, .d_in = 34, .rank = 6, .tokens = 12}};
  typename layer_problem<Kind, float>::layer_type layer = p.layer();
  typename layer_problem<Kind, float>::adapter_type::saved_type saved;
  sbora::workspace memory;
  padded_matrix<float> y = p.empty_y(), dx = p.empty_dx();

  void forward() { layer.forward(activation(p.x), activation(y), p.adapter, saved, memory); }
};

template <adapter_kind Kind>
void check_wrong_shapes() {
  shapes<Kind> s;
  auto& p = s.p;
  padded_matrix<float> tokens11(11, 34), features33(12, 33), y11(11, 21), y20(12, 20);
  const auto forward_both = [&](const auto& x, auto& y) {
    CHECK_THROWS_AS(s.layer.forward(activation(x), activation(y), s.memory), assertion_error);
    CHECK_THROWS_AS(s.layer.forward(activation(x), activation(y), std::as_const(p.adapter), s.memory), assertion_error);
    CHECK_THROWS_AS(s.layer.forward(activation(x), activation(y), p.adapter, s.saved, s.memory), assertion_error);
    CHECK_THROWS_AS(delta_forward(std::as_const(p.adapter), activation(x), activation(y), s.memory), assertion_error);
    CHECK_THROWS_AS(delta_forward(p.adapter, activation(x), activation(y), s.saved, s.memory), assertion_error);
  };
  forward_both(features33, s.y);
  forward_both(tokens11, s.y);
  forward_both(p.x, y20);
  CHECK(same_bits(s.y.memory(), p.empty_y().memory()));
  CHECK(p.adapter.dropout_step() == 0);
  CHECK(s.saved.tokens() == 0);

  s.forward();
  const auto backward_both = [&](const auto& dy, auto& dx) {
    CHECK_THROWS_AS(s.layer.backward(activation(dy), activation(dx), s.memory), assertion_error);
    CHECK_THROWS_AS(s.layer.backward(activation(dy), activation(dx), p.adapter, s.saved, s.memory), assertion_error);
    CHECK_THROWS_AS(delta_backward(p.adapter, activation(dy), activation(dx), s.saved, s.memory), assertion_error);
  };
  backward_both(y20, s.dx);
  backward_both(y11, s.dx);
  backward_both(p.dy, features33);
  backward_both(p.dy, tokens11);
  CHECK_THROWS_AS(s.layer.backward(activation(y20), sbora::no_dx, p.adapter, s.saved, s.memory), assertion_error);
  CHECK_THROWS_AS(s.layer.backward(activation(y11), sbora::no_dx, p.adapter, s.saved, s.memory), assertion_error);
  CHECK(same_bits(s.dx.memory(), p.empty_dx().memory()));
  CHECK(p.adapter.gradient_matrix().isZero(0));
}

template <adapter_kind Kind>
void check_wrong_adapter() {
  shapes<Kind> s;
  layer_problem<Kind, float> other({.d_out = 22, .d_in = 34, .rank = 6, .tokens = 12});
  typename decltype(other)::adapter_type::saved_type saved;
  CHECK_ERROR(assertion_error, "the adapter was made for a weight of another shape",
              s.layer.forward(activation(s.p.x), activation(s.y), std::as_const(other.adapter), s.memory));
  CHECK_THROWS_AS(s.layer.forward(activation(s.p.x), activation(s.y), other.adapter, saved, s.memory), assertion_error);
  CHECK(same_bits(s.y.memory(), s.p.empty_y().memory()));
}

/// An adapter without memory for gradients.
template <adapter_kind Kind>
void check_inference_only() {
  shapes<Kind> s;
  using adapter_type = typename layer_problem<Kind, float>::adapter_type;
  std::vector<float> parameters(s.p.adapter.parameters().size());
  adapter_type adapter(21, 34, s.p.adapter.target(), {}, parameters, {});
  s.layer.forward(activation(s.p.x), activation(s.y), adapter, s.saved, s.memory);
  CHECK_ERROR(assertion_error, "made for inference",
              s.layer.backward(activation(s.p.dy), activation(s.dx), adapter, s.saved, s.memory));
  CHECK_ERROR(assertion_error, "made for inference",
              delta_backward(adapter, activation(s.p.dy), activation(s.dx), s.saved, s.memory));
  CHECK(same_bits(s.dx.memory(), s.p.empty_dx().memory()));
}

}  // namespace

TEST_CASE("fitting shapes pass") {
  CHECK_NOTHROW(shapes<adapter_kind::fa>().forward());
  CHECK_NOTHROW(shapes<adapter_kind::fb>().forward());
}

TEST_CASE("wrong shapes are found before anything is written: FA") { check_wrong_shapes<adapter_kind::fa>(); }
TEST_CASE("wrong shapes are found before anything is written: FB") { check_wrong_shapes<adapter_kind::fb>(); }
TEST_CASE("an adapter for another weight is found: FA") { check_wrong_adapter<adapter_kind::fa>(); }
TEST_CASE("an adapter for another weight is found: FB") { check_wrong_adapter<adapter_kind::fb>(); }
TEST_CASE("an adapter without gradients has no backward: FA") { check_inference_only<adapter_kind::fa>(); }
TEST_CASE("an adapter without gradients has no backward: FB") { check_inference_only<adapter_kind::fb>(); }

TEST_CASE("what another adapter saved is found by its rank") {
  shapes<adapter_kind::fa> s;
  layer_problem<adapter_kind::fa, float> other({.d_out = 21, .d_in = 34, .rank = 2, .tokens = 12});
  sbora::fa_saved<float> saved;
  other.layer().forward(activation(other.x), activation(s.y), other.adapter, saved, s.memory);
  CHECK_THROWS_AS(s.layer.backward(activation(s.p.dy), activation(s.dx), s.p.adapter, saved, s.memory),
                  assertion_error);
  CHECK_THROWS_AS(delta_backward(s.p.adapter, activation(s.p.dy), sbora::no_dx, saved, s.memory), assertion_error);
}

TEST_CASE("a backward needs the training forward that saved") {
  shapes<adapter_kind::fb> s;
  CHECK_ERROR(assertion_error, "saved by a forward of another number of tokens",
              s.layer.backward(activation(s.p.dy), activation(s.dx), s.p.adapter, s.saved, s.memory));
  CHECK(same_bits(s.dx.memory(), s.p.empty_dx().memory()));
}

TEST_CASE("messages name what came and what was expected") {
  shapes<adapter_kind::fa> s;
  padded_matrix<float> features33(12, 33), tokens11(11, 34), y20(12, 20), y11(11, 21);
  const auto& layer = s.layer;
  CHECK_ERROR(assertion_error, "x has 12 tokens of 33 features, d_in is 34",
              layer.forward(activation(features33), activation(s.y), s.memory));
  CHECK_ERROR(assertion_error, "y has 12 tokens of 20 features, d_out is 21",
              layer.forward(activation(s.p.x), activation(y20), s.memory));
  CHECK_ERROR(assertion_error, "x has 12 tokens of 34 features, y has 11 tokens of 21 features",
              layer.forward(activation(s.p.x), activation(y11), s.memory));
  CHECK_ERROR(assertion_error, "dy has 12 tokens of 20 features, d_out is 21",
              layer.backward(activation(y20), activation(s.dx), s.memory));
  CHECK_ERROR(assertion_error, "dx has 12 tokens of 33 features, d_in is 34",
              layer.backward(activation(s.p.dy), activation(features33), s.memory));
  CHECK_ERROR(assertion_error, "x has 12 tokens of 33 features, d_in is 34",
              delta_forward(s.p.adapter, activation(features33), activation(s.y), s.memory));
  CHECK_ERROR(assertion_error, "dy has 12 tokens of 20 features, d_out is 21",
              delta_backward(s.p.adapter, activation(y20), sbora::no_dx, s.saved, s.memory));
  layer_problem<adapter_kind::fa, float> other({.d_out = 22, .d_in = 34, .rank = 6, .tokens = 12});
  CHECK_ERROR(assertion_error, "22 x 34, the weight is 21 x 34",
              layer.forward(activation(s.p.x), activation(s.y), std::as_const(other.adapter), s.memory));
  s.forward();
  CHECK_ERROR(assertion_error, "saved by a forward of another number of tokens: 12, now 11",
              layer.backward(activation(y11), activation(tokens11), s.p.adapter, s.saved, s.memory));
}

// Eigen's default storage order, in Eigen's order of rows and columns: the mistake that newcomers make.
TEST_CASE("a column-major matrix with a token in each row is refused and told of") {
  shapes<adapter_kind::fa> s;
  const Eigen::MatrixXf x = Eigen::MatrixXf::Random(12, 34);
  Eigen::MatrixXf y(12, 21);
  CHECK_ERROR(assertion_error, "x has 34 tokens of 12 features, d_in is 34; of a column-major matrix, Eigen's default,",
              s.layer.forward(x, y, s.memory));
  CHECK_ERROR(assertion_error, "y has 21 tokens of 12 features, d_out is 21; of a column-major matrix",
              s.layer.forward(activation(s.p.x), y, s.memory));
}

TEST_CASE("results whose tokens overlap are refused") {
  shapes<adapter_kind::fa> s;
  std::vector<float> memory(12 * 34);
  for (const index_t stride : {index_t{0}, index_t{20}, index_t{-21}}) {
    CAPTURE(stride);
    const sbora::activation_view<float> y(memory.data(), 12, 21, stride);
    CHECK_ERROR(assertion_error, "y has 12 tokens of 21 features, " + std::to_string(stride) + " apart",
                s.layer.forward(activation(s.p.x), y, s.memory));
    CHECK_THROWS_AS(s.layer.forward(activation(s.p.x), y, s.p.adapter, s.saved, s.memory), assertion_error);
    CHECK_THROWS_AS(delta_forward(s.p.adapter, activation(s.p.x), y, s.memory), assertion_error);
    const sbora::activation_view<float> dx(memory.data(), 12, 34, stride);
    CHECK_THROWS_AS(s.layer.backward(activation(s.p.dy), dx, s.memory), assertion_error);
  }
  CHECK(std::all_of(memory.begin(), memory.end(), [](float value) { return value == 0; }));
  layer_problem<adapter_kind::fa, float> one({.d_out = 21, .d_in = 34, .rank = 6, .tokens = 1});
  const sbora::activation_view<float> token(memory.data(), 1, 21, 0);  // one token overlaps nothing
  CHECK_NOTHROW(one.layer().forward(activation(one.x), token, s.memory));
}

TEST_CASE("activations without memory are refused") {
  shapes<adapter_kind::fa> s;
  const sbora::activation_view<float> none(nullptr, 12, 34), negative(s.p.x.data(), -1, 34);
  CHECK_ERROR(assertion_error, "x has 12 tokens of 34 features and no memory",
              s.layer.forward(none, activation(s.y), s.memory));
  CHECK_ERROR(assertion_error, "x has -1 tokens", s.layer.forward(negative, activation(s.y), s.memory));
}

TEST_CASE("an adapter that was moved from is refused") {
  const auto check = [](auto s) {
    auto adapter = std::move(s.p.adapter);
    const auto& gone = s.p.adapter;
    CHECK_ERROR(assertion_error, "the adapter was moved from",
                s.layer.forward(activation(s.p.x), activation(s.y), gone, s.memory));
    CHECK_ERROR(assertion_error, "the adapter was moved from", s.forward());
    CHECK_ERROR(assertion_error, "the adapter was moved from",
                s.layer.backward(activation(s.p.dy), activation(s.dx), s.p.adapter, s.saved, s.memory));
    CHECK_ERROR(assertion_error, "the adapter was moved from",
                delta_forward(gone, activation(s.p.x), activation(s.y), s.memory));
    CHECK_ERROR(assertion_error, "the adapter was moved from", gone.delta());
    CHECK(same_bits(s.y.memory(), s.p.empty_y().memory()));
    CHECK_NOTHROW(s.layer.forward(activation(s.p.x), activation(s.y), adapter, s.saved, s.memory));
  };
  check(shapes<adapter_kind::fa>());
  check(shapes<adapter_kind::fb>());
}

TEST_CASE("a gradient of no elements has no backward, wherever it points") {
  shapes<adapter_kind::fa> s;
  std::vector<float> parameters(s.p.adapter.parameters().size()), nothing(1, 7.0F);
  sbora::fa_adapter<float> adapter(21, 34, s.p.adapter.target(), {}, parameters, std::span(nothing).first(0));
  s.layer.forward(activation(s.p.x), activation(s.y), adapter, s.saved, s.memory);
  CHECK_ERROR(assertion_error, "made for inference",
              s.layer.backward(activation(s.p.dy), activation(s.dx), adapter, s.saved, s.memory));
  CHECK(nothing[0] == 7);
}
