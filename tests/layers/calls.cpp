// What callers may rely on around a call: accumulation, switching off, delta-only use, empty batches,
// memory of their own, and that a rejected call has written nothing.

#include <sbora/adapters/with_gradient.hpp>

#include "support/layer_problem.hpp"
#include "support/message.hpp"

using namespace sbora_tests;
using sbora::adapter_kind;

namespace {

const layer_case usual{.d_out = 21, .d_in = 34, .rank = 6, .tokens = 12, .padding = 2, .bias = true};

template <class T>
sbora::activation_view<T> token_range(padded_matrix<T>& m, index_t from, index_t count) {
  return {m.data() + from * m.stride(), count, m.cols(), m.stride()};
}

template <adapter_kind Kind>
void check_micro_batches() {
  layer_problem<Kind, float> p(usual);
  const auto layer = p.layer();
  sbora::workspace memory;
  typename decltype(p)::adapter_type::saved_type first, second;
  auto y = p.empty_y();
  // Both forwards before both backwards, as a pipeline does it.
  layer.forward(token_range(p.x, 0, 5), token_range(y, 0, 5), p.adapter, first, memory);
  layer.forward(token_range(p.x, 5, 7), token_range(y, 5, 7), p.adapter, second, memory);
  layer.backward(token_range(p.dy, 5, 7), sbora::no_dx, p.adapter, second, memory);
  layer.backward(token_range(p.dy, 0, 5), sbora::no_dx, p.adapter, first, memory);
  const exact_results exact = exact_layer(p, false);
  CHECK(first_difference(y, exact.y, exact.y_magnitude, gamma_of<float>(p.roundings(34))) == "");
  CHECK(first_difference(p.adapter.gradient_matrix(), exact.gradient, exact.gradient_magnitude,
                         gamma_of<float>(p.roundings(12))) == "");
}

template <adapter_kind Kind>
void check_delta_only() {
  layer_case size = usual;
  size.dropout = 0.2;
  layer_problem<Kind, double> p(size);
  const auto layer = p.layer();
  sbora::workspace memory;
  typename decltype(p)::adapter_type::saved_type saved, layer_saved;
  auto y = p.empty_y(), layer_y = p.empty_y();
  auto dx = p.empty_dx(), layer_dx = p.empty_dx();
  layer.forward(activation(p.x), activation(layer_y), p.adapter, layer_saved, memory);
  layer.backward(activation(p.dy), activation(layer_dx), p.adapter, layer_saved, memory);
  const std::vector<double> gradient(p.adapter.gradient().begin(), p.adapter.gradient().end());

  // The user's own base product is the layer without its adapter here, so even the bits are the same.
  p.adapter.zero_gradient();
  p.adapter.set_dropout_step(0);
  layer.forward(activation(p.x), activation(y), memory);
  layer.backward(activation(p.dy), activation(dx), memory);
  delta_forward(p.adapter, activation(p.x), activation(y), saved, memory);
  delta_backward(p.adapter, activation(p.dy), activation(dx), saved, memory);
  CHECK(same_bits(y.memory(), layer_y.memory()));
  CHECK(same_bits(dx.memory(), layer_dx.memory()));
  CHECK(same_bits<double>(p.adapter.gradient(), gradient));

  delta_backward(p.adapter, activation(p.dy), sbora::no_dx, saved, memory);
  for (std::size_t i = 0; i < gradient.size(); ++i) {
    CHECK(p.adapter.gradient()[i] == Approx(2 * gradient[i]).epsilon(1e-12).margin(1e-12));
  }
  auto separate = p.layer();
  separate.set_delta_path(sbora::delta_path::separate);
  separate.forward(activation(p.x), activation(layer_y), std::as_const(p.adapter), memory);
  layer.forward(activation(p.x), activation(y), memory);
  delta_forward(std::as_const(p.adapter), activation(p.x), activation(y), memory);
  CHECK(same_bits(y.memory(), layer_y.memory()));
}

/// A backward as an autograd system calls it: what was saved is its own, and so is the gradient's memory.
template <adapter_kind Kind>
void check_autograd(double dropout) {
  layer_case size = usual;
  size.dropout = dropout;
  layer_problem<Kind, float> p(size);
  const auto layer = p.layer();
  sbora::workspace memory;
  using saved_type = typename decltype(p)::adapter_type::saved_type;
  saved_type saved;
  auto y = p.empty_y(), dx = p.empty_dx(), other_dx = p.empty_dx();
  const std::uint64_t step = p.adapter.dropout_step();
  layer.forward(activation(p.x), activation(y), p.adapter, saved, memory);
  layer.backward(activation(p.dy), activation(dx), p.adapter, saved, memory);
  const std::vector<float> gradient(p.adapter.gradient().begin(), p.adapter.gradient().end());

  const saved_type again = [&] {
    if constexpr (Kind == adapter_kind::fa) {
      const auto gathered = saved.gathered();
      return saved_type::from(std::span(gathered.data(), static_cast<std::size_t>(gathered.size())), p.x.rows(),
                              usual.rank, step);
    } else {
      return saved_type::from(activation(std::as_const(p.x)), step);
    }
  }();
  std::vector<float> own(gradient.size());
  sbora::with_gradient call(std::as_const(p.adapter), std::span(own));
  layer.backward(activation(p.dy), activation(other_dx), call, again, memory);
  CHECK(same_bits<float>(own, gradient));
  CHECK(same_bits(dx.memory(), other_dx.memory()));
  CHECK(same_bits<float>(p.adapter.gradient(), gradient));
  delta_backward(call, activation(p.dy), sbora::no_dx, again, memory);
  CHECK(own[3] == 2 * gradient[3]);

  own.pop_back();
  CHECK_ERROR(sbora::shape_error, std::to_string(gradient.size()) + " numbers needed, the span given has",
              (sbora::with_gradient(p.adapter, std::span(own))));
  if constexpr (Kind == adapter_kind::fa) {
    const std::vector<float> few(3);
    CHECK_ERROR(sbora::workspace_error, "the span given has 3", saved_type::from(few, 12, usual.rank));
  }
}

template <adapter_kind Kind>
void check_disabled() {
  layer_problem<Kind, float> p(usual);
  const auto layer = p.layer();
  sbora::workspace memory;
  typename decltype(p)::adapter_type::saved_type saved;
  auto base_y = p.empty_y(), y = p.empty_y();
  auto base_dx = p.empty_dx(), dx = p.empty_dx();
  layer.forward(activation(p.x), activation(base_y), memory);
  layer.backward(activation(p.dy), activation(base_dx), memory);

  p.adapter.set_enabled(false);
  layer.forward(activation(p.x), activation(y), p.adapter, saved, memory);
  layer.backward(activation(p.dy), activation(dx), p.adapter, saved, memory);
  CHECK(same_bits(y.memory(), base_y.memory()));
  CHECK(same_bits(dx.memory(), base_dx.memory()));
  CHECK(p.adapter.gradient_matrix().isZero(0));
  CHECK(p.adapter.dropout_step() == 0);
  delta_forward(std::as_const(p.adapter), activation(p.x), activation(y), memory);
  delta_forward(p.adapter, activation(p.x), activation(y), saved, memory);
  delta_backward(p.adapter, activation(p.dy), activation(dx), saved, memory);
  CHECK(same_bits(y.memory(), base_y.memory()));
  CHECK(same_bits(dx.memory(), base_dx.memory()));

  p.adapter.set_enabled(true);
  p.adapter.set_multiplier(0);
  layer.forward(activation(p.x), activation(y), std::as_const(p.adapter), memory);
  for (index_t t = 0; t < 12; ++t) {
    for (index_t o = 0; o < 21; ++o) CHECK(y(t, o) == base_y(t, o));
  }
}

template <adapter_kind Kind>
void check_multiplier() {
  layer_problem<Kind, float> p(usual);
  sbora::workspace memory;
  const auto delta = [&](double multiplier) {
    p.adapter.set_multiplier(multiplier);
    padded_matrix<float> y(12, 21);
    for (index_t t = 0; t < 12; ++t) std::fill_n(&y(t, 0), 21, 0.0F);
    delta_forward(std::as_const(p.adapter), activation(p.x), activation(y), memory);
    return y;
  };
  const padded_matrix<float> one = delta(1), twice = delta(2), negated = delta(-1);
  for (index_t t = 0; t < 12; ++t) {
    for (index_t o = 0; o < 21; ++o) {
      CHECK(twice(t, o) == 2 * one(t, o));
      CHECK(negated(t, o) == -one(t, o));
    }
  }
}

template <adapter_kind Kind>
void check_empty_batch() {
  layer_problem<Kind, float> p(usual);
  const auto layer = p.layer();
  sbora::workspace memory;
  typename decltype(p)::adapter_type::saved_type saved;
  auto y = p.empty_y();
  auto dx = p.empty_dx();
  // After a batch that wasn't empty, so that nothing of it may linger.
  layer.forward(activation(p.x), activation(y), p.adapter, saved, memory);
  const padded_matrix<float> before = y;
  layer.forward(token_range(p.x, 0, 0), token_range(y, 0, 0), memory);
  layer.forward(token_range(p.x, 0, 0), token_range(y, 0, 0), std::as_const(p.adapter), memory);
  layer.forward(token_range(p.x, 0, 0), token_range(y, 0, 0), p.adapter, saved, memory);
  layer.backward(token_range(p.dy, 0, 0), token_range(dx, 0, 0), memory);
  layer.backward(token_range(p.dy, 0, 0), token_range(dx, 0, 0), p.adapter, saved, memory);
  layer.backward(token_range(p.dy, 0, 0), sbora::no_dx, p.adapter, saved, memory);
  CHECK(same_bits(y.memory(), before.memory()));
  CHECK(same_bits(dx.memory(), p.empty_dx().memory()));
  CHECK(p.adapter.gradient_matrix().isZero(0));
  CHECK(layer.workspace_bytes(0, p.adapter) < layer.workspace_bytes(1, p.adapter));
}

/// Runs everything in a span of exactly `missing` bytes less than asked for, between canaries. True if
/// it was enough.
template <adapter_kind Kind>
bool fits(const layer_case& size, std::size_t missing, std::size_t offset = 0) {
  layer_problem<Kind, float> p(size);
  auto layer = p.layer();
  const std::size_t bytes = layer.workspace_bytes(size.tokens, p.adapter) - missing;
  std::vector<std::byte> memory(bytes + 1024, std::byte{0xCD});
  const auto address = reinterpret_cast<std::uintptr_t>(memory.data());
  const std::size_t begin = 256 + (64 - address % 64) % 64 + offset;
  sbora::workspace scratch(std::span<std::byte>(memory).subspan(begin, bytes));
  typename decltype(p)::adapter_type::saved_type saved;
  auto y = p.empty_y();
  auto dx = p.empty_dx();
  bool enough = true;
  try {
    for (const auto path : {sbora::delta_path::automatic, sbora::delta_path::separate, sbora::delta_path::on_pack}) {
      layer.set_delta_path(path);
      layer.forward(activation(p.x), activation(y), scratch);
      layer.backward(activation(p.dy), activation(dx), scratch);
      layer.forward(activation(p.x), activation(y), std::as_const(p.adapter), scratch);
      layer.forward(activation(p.x), activation(y), p.adapter, saved, scratch);
      layer.backward(activation(p.dy), activation(dx), p.adapter, saved, scratch);
    }
  } catch (const sbora::workspace_error&) {
    enough = false;
  }
  for (std::size_t i = 0; i < memory.size(); ++i) {
    if (i < begin || i >= begin + bytes) REQUIRE(memory[i] == std::byte{0xCD});
  }
  return enough;
}

}  // namespace

TEST_CASE("a backward takes what autograd systems keep, and writes the gradient where they want it") {
  check_autograd<adapter_kind::fa>(0);
  check_autograd<adapter_kind::fa>(0.2);
  check_autograd<adapter_kind::fb>(0);
  check_autograd<adapter_kind::fb>(0.2);
}

TEST_CASE("micro-batches add up: FA") { check_micro_batches<adapter_kind::fa>(); }
TEST_CASE("micro-batches add up: FB") { check_micro_batches<adapter_kind::fb>(); }
TEST_CASE("the delta alone completes a product made elsewhere: FA") { check_delta_only<adapter_kind::fa>(); }
TEST_CASE("the delta alone completes a product made elsewhere: FB") { check_delta_only<adapter_kind::fb>(); }
TEST_CASE("a disabled adapter takes no part: FA") { check_disabled<adapter_kind::fa>(); }
TEST_CASE("a disabled adapter takes no part: FB") { check_disabled<adapter_kind::fb>(); }
TEST_CASE("the multiplier scales the delta: FA") { check_multiplier<adapter_kind::fa>(); }
TEST_CASE("the multiplier scales the delta: FB") { check_multiplier<adapter_kind::fb>(); }
TEST_CASE("an empty batch does nothing: FA") { check_empty_batch<adapter_kind::fa>(); }
TEST_CASE("an empty batch does nothing: FB") { check_empty_batch<adapter_kind::fb>(); }

TEST_CASE("workspace_bytes is enough, and nothing is written beyond") {
  for (const index_t tokens : {1, 5, 37, 130}) {
    for (const double dropout : {0.0, 0.5}) {
      for (const index_t rank : {1, 6, 21}) {
        layer_case size = usual;
        size.tokens = tokens;
        size.rank = rank;
        size.dropout = dropout;
        CAPTURE(size);
        CHECK(fits<adapter_kind::fa>(size, 0));
        CHECK(fits<adapter_kind::fb>(size, 0));
        CHECK_FALSE(fits<adapter_kind::fa>(size, 64));
        CHECK_FALSE(fits<adapter_kind::fb>(size, 64));
        for (const std::size_t offset : {1U, 8U, 63U}) {  // wherever the span starts
          CAPTURE(offset);
          CHECK(fits<adapter_kind::fa>(size, 0, offset));
          CHECK(fits<adapter_kind::fb>(size, 0, offset));
        }
      }
    }
  }
}

TEST_CASE("a span that is too small is found before anything is written") {
  layer_problem<adapter_kind::fa, float> p(usual);
  const auto layer = p.layer();
  sbora::workspace enough, none(std::span<std::byte>{});
  auto y = p.empty_y();
  auto dx = p.empty_dx();
  std::vector<float> span(12 * 6 - 1, 5.0F);
  sbora::fa_saved<float> saved, short_saved{std::span<float>(span)};
  using sbora::workspace_error;
  CHECK_THROWS_AS(layer.forward(activation(p.x), activation(y), none), workspace_error);
  CHECK_THROWS_AS(layer.forward(activation(p.x), activation(y), std::as_const(p.adapter), none), workspace_error);
  CHECK_THROWS_AS(layer.forward(activation(p.x), activation(y), p.adapter, saved, none), workspace_error);
  CHECK_THROWS_AS(delta_forward(std::as_const(p.adapter), activation(p.x), activation(y), none), workspace_error);
  CHECK_ERROR(workspace_error, "sbora::fa_saved: 72 elements needed (12 x 6), the span given has 71",
              layer.forward(activation(p.x), activation(y), p.adapter, short_saved, enough));
  CHECK_THROWS_AS(delta_forward(p.adapter, activation(p.x), activation(y), short_saved, enough), workspace_error);
  CHECK(p.adapter.dropout_step() == 0);
  CHECK(same_bits(y.memory(), p.empty_y().memory()));

  layer.forward(activation(p.x), activation(y), p.adapter, saved, enough);
  CHECK_THROWS_AS(layer.backward(activation(p.dy), activation(dx), none), workspace_error);
  CHECK_THROWS_AS(layer.backward(activation(p.dy), activation(dx), p.adapter, saved, none), workspace_error);
  CHECK_THROWS_AS(delta_backward(p.adapter, activation(p.dy), activation(dx), saved, none), workspace_error);
  CHECK(same_bits(dx.memory(), p.empty_dx().memory()));
  CHECK(p.adapter.gradient_matrix().isZero(0));
}

TEST_CASE("fa_saved uses the caller's span") {
  layer_problem<adapter_kind::fa, float> p(usual);
  std::vector<float> span(12 * 6 + 2, 5.0F);
  sbora::fa_saved<float> saved(std::span<float>(span).subspan(1, 12 * 6)), owning;
  sbora::workspace memory;
  auto y = p.empty_y();
  p.layer().forward(activation(p.x), activation(y), p.adapter, saved, memory);
  CHECK(saved.gathered().data() == span.data() + 1);
  CHECK(span.front() == 5);
  CHECK(span.back() == 5);
  p.layer().forward(activation(p.x), activation(y), p.adapter, owning, memory);
  CHECK(saved.gathered() == owning.gathered());

  const float* const memory_of_owning = owning.gathered().data();
  const sbora::fa_saved<float> moved = std::move(owning);
  CHECK(moved.gathered().data() == memory_of_owning);
  CHECK(owning.tokens() == 0);
}

TEST_CASE("a bias of the wrong size is rejected") {
  layer_problem<adapter_kind::fa, float> p(usual);
  const std::vector<float> bias(20);
  using layer_type = decltype(p)::layer_type;
  CHECK_ERROR(sbora::shape_error, "bias has 20 elements, d_out is 21", layer_type(p.layer().weight(), bias));
}

TEST_CASE("delta_workspace_bytes is enough for a span that starts anywhere") {
  const auto check = [](auto kind) {
    for (const double dropout : {0.0, 0.5}) {
      layer_case size = usual;
      size.dropout = dropout;
      layer_problem<kind(), float> p(size);
      const std::size_t bytes = sbora::delta_workspace_bytes(p.adapter, size.tokens);
      std::vector<std::byte> memory(bytes + 64);
      for (const std::size_t offset : {0U, 1U, 8U, 63U}) {
        sbora::workspace scratch(std::span<std::byte>(memory).subspan(offset, bytes));
        typename decltype(p)::adapter_type::saved_type saved;
        auto y = p.empty_y();
        auto dx = p.empty_dx();
        CHECK_NOTHROW(delta_forward(p.adapter, activation(p.x), activation(y), saved, scratch));
        CHECK_NOTHROW(delta_backward(p.adapter, activation(p.dy), activation(dx), saved, scratch));
      }
    }
  };
  check(std::integral_constant<adapter_kind, adapter_kind::fa>());
  check(std::integral_constant<adapter_kind, adapter_kind::fb>());
}
