// Shapes that don't fit are found before anything is written, in builds that check. Under NDEBUG they
// are the caller's to get right, and this file checks only that fitting ones pass.

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

#if !defined(NDEBUG)
template <adapter_kind Kind>
void check_wrong_shapes() {
  shapes<Kind> s;
  auto& p = s.p;
  padded_matrix<float> tokens11(11, 34), features33(12, 33), y11(11, 21), y20(12, 20);
  const auto forward_both = [&](const auto& x, auto& y) {
    CHECK_THROWS_AS(s.layer.forward(activation(x), activation(y), s.memory), assertion_error);
    CHECK_THROWS_AS(s.layer.forward(activation(x), activation(y), std::as_const(p.adapter), s.memory),
                    assertion_error);
    CHECK_THROWS_AS(s.layer.forward(activation(x), activation(y), p.adapter, s.saved, s.memory),
                    assertion_error);
    CHECK_THROWS_AS(delta_forward(std::as_const(p.adapter), activation(x), activation(y), s.memory),
                    assertion_error);
    CHECK_THROWS_AS(delta_forward(p.adapter, activation(x), activation(y), s.saved, s.memory),
                    assertion_error);
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
    CHECK_THROWS_AS(s.layer.backward(activation(dy), activation(dx), p.adapter, s.saved, s.memory),
                    assertion_error);
    CHECK_THROWS_AS(delta_backward(p.adapter, activation(dy), activation(dx), s.saved, s.memory),
                    assertion_error);
  };
  backward_both(y20, s.dx);
  backward_both(y11, s.dx);
  backward_both(p.dy, features33);
  backward_both(p.dy, tokens11);
  CHECK_THROWS_AS(s.layer.backward(activation(y20), sbora::no_dx, p.adapter, s.saved, s.memory),
                  assertion_error);
  CHECK_THROWS_AS(s.layer.backward(activation(y11), sbora::no_dx, p.adapter, s.saved, s.memory),
                  assertion_error);
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
  CHECK_THROWS_AS(
      s.layer.forward(activation(s.p.x), activation(s.y), other.adapter, saved, s.memory),
      assertion_error);
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
#endif

}  // namespace

TEST_CASE("fitting shapes pass") {
  CHECK_NOTHROW(shapes<adapter_kind::fa>().forward());
  CHECK_NOTHROW(shapes<adapter_kind::fb>().forward());
}

#if !defined(NDEBUG)
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
  CHECK_THROWS_AS(delta_backward(s.p.adapter, activation(s.p.dy), sbora::no_dx, saved, s.memory),
                  assertion_error);
}

TEST_CASE("a backward needs the training forward that saved") {
  shapes<adapter_kind::fb> s;
  CHECK_ERROR(assertion_error, "saved by a forward of another number of tokens",
              s.layer.backward(activation(s.p.dy), activation(s.dx), s.p.adapter, s.saved, s.memory));
  CHECK(same_bits(s.dx.memory(), s.p.empty_dx().memory()));
}
#endif
