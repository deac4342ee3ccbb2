// Adapter dropout: the documented mask, in training only, repeatable by its step.

#include "support/catch.hpp"
#include "support/layer_problem.hpp"

using namespace sbora_tests;
using sbora::adapter_kind;

namespace {

template <adapter_kind Kind>
struct dropout_run {
  using problem = layer_problem<Kind, float>;
  problem p;
  sbora::workspace memory;
  typename problem::adapter_type::saved_type saved;
  padded_matrix<float> y;

  explicit dropout_run(const layer_case& size) : p(size), y(p.empty_y()) {}

  padded_matrix<float> train(std::uint64_t step) {
    p.adapter.set_dropout_step(step);
    p.layer().forward(activation(p.x), activation(y), p.adapter, saved, memory);
    return y;
  }
  padded_matrix<float> eval() {
    p.layer().forward(activation(p.x), activation(y), std::as_const(p.adapter), memory);
    return y;
  }
};

const layer_case usual{.d_out = 21, .d_in = 34, .rank = 6, .tokens = 70, .dropout = 0.25};

bool same(const padded_matrix<float>& a, const padded_matrix<float>& b) { return same_bits(a.memory(), b.memory()); }

template <adapter_kind Kind>
void check_steps() {
  dropout_run<Kind> run(usual);
  const padded_matrix<float> first = run.train(0), second = run.train(1);
  CHECK_FALSE(same(first, second));
  CHECK(same(run.train(0), first));
  CHECK(run.p.adapter.dropout_step() == 1);
  CHECK(same(run.train(1), second));
  CHECK_FALSE(same(run.train(std::uint64_t{1} << 32), first));  // all 64 bits count

  run.p.adapter.set_dropout_step(0);
  for (int i = 0; i < 3; ++i) {
    run.p.layer().forward(activation(run.p.x), activation(run.y), run.p.adapter, run.saved, run.memory);
  }
  CHECK(run.p.adapter.dropout_step() == 3);
  CHECK(run.saved.dropout_step() == 2);
}

template <adapter_kind Kind>
void check_eval() {
  layer_case without = usual;
  without.dropout = 0;
  dropout_run<Kind> run(usual), plain(without);
  CHECK(same(run.eval(), plain.eval()));
  CHECK(same(plain.train(5), plain.eval()));
  CHECK_FALSE(same(run.train(5), run.eval()));
  CHECK(same(run.eval(), plain.eval()));  // also after a training forward
}

/// The adapter's gradient without dx, twice: what forward saved is enough, and stays.
template <adapter_kind Kind>
void check_backward_repeats() {
  dropout_run<Kind> run(usual);
  run.train(9);
  auto& p = run.p;
  std::vector<float> first;
  for (int i = 0; i < 2; ++i) {
    p.adapter.zero_gradient();
    auto dx = p.empty_dx();
    p.layer().backward(activation(p.dy), activation(dx), p.adapter, run.saved, run.memory);
    run.eval();  // uses the same workspace
    if (i == 0) first.assign(p.adapter.gradient().begin(), p.adapter.gradient().end());
  }
  CHECK(same_bits<float>(p.adapter.gradient(), first));
}

}  // namespace

TEST_CASE("a dropout step names a mask: FA") { check_steps<adapter_kind::fa>(); }
TEST_CASE("a dropout step names a mask: FB") { check_steps<adapter_kind::fb>(); }
TEST_CASE("eval has no dropout: FA") { check_eval<adapter_kind::fa>(); }
TEST_CASE("eval has no dropout: FB") { check_eval<adapter_kind::fb>(); }
TEST_CASE("a backward can be repeated: FA") { check_backward_repeats<adapter_kind::fa>(); }
TEST_CASE("a backward can be repeated: FB") { check_backward_repeats<adapter_kind::fb>(); }

TEST_CASE("FA saves the masked inputs of its region, by the feature's own mask") {
  dropout_run<adapter_kind::fa> run(usual);
  const auto& p = run.p;
  run.train(3);
  REQUIRE(run.saved.gathered().rows() == 70);
  REQUIRE(run.saved.gathered().cols() == 6);
  const exact_matrix mask = dropout_mask(p.adapter.options(), 3, 70, 34);
  const auto kept = static_cast<float>(1 / (1 - 0.25));
  int wrong = 0;
  for (index_t t = 0; t < 70; ++t) {
    for (index_t j = 0; j < 6; ++j) {
      const index_t feature = p.adapter.target().indices()[static_cast<std::size_t>(j)];
      const float expected = mask(t, feature) == 0 ? 0 : p.x(t, feature) * kept;
      wrong += run.saved.gathered()(t, j) != expected;
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("FB refers to its input") {
  dropout_run<adapter_kind::fb> run(usual);
  run.train(3);
  CHECK(run.saved.input().data == run.p.x.data());
  CHECK(run.saved.tokens() == 70);
}

TEST_CASE("dropout keeps the expectation") {
  // Region of all features, x = 1: what is saved is the mask itself.
  dropout_run<adapter_kind::fa> run({.d_out = 3, .d_in = 64, .rank = 64, .tokens = 130, .dropout = 0.3});
  for (index_t t = 0; t < 130; ++t) {
    for (index_t f = 0; f < 64; ++f) run.p.x(t, f) = 1;
  }
  double sum = 0, dropped = 0;
  constexpr int steps = 20;
  for (std::uint64_t step = 0; step < steps; ++step) {
    run.train(step);
    sum += run.saved.gathered().cast<double>().sum();
    dropped += static_cast<double>((run.saved.gathered().array() == 0).count());
  }
  const double draws = 130 * 64 * steps;
  const double deviation = std::sqrt(0.3 * 0.7 / draws);
  CHECK(std::abs(dropped / draws - 0.3) <= 5 * deviation);
  CHECK(std::abs(sum / draws - 1) <= 5 * deviation / 0.7);
}

TEST_CASE("what is kept is scaled by the probability that is used, a multiple of 2^-32") {
  // So that the mean stays what it is also beside 1, and where nothing is dropped as the probability is too small.
  const double ones[4] = {1, 1, 1, 1}, parameter = 0;
  const sbora::region target(4, {0});
  const auto kept = [&](double dropout) {
    const sbora::weight_delta<double> delta = {adapter_kind::fa, &target, &parameter, nullptr, 1, 4, 1, true,
                                               dropout,          0};
    sbora::serial_executor serial;
    double greatest = 0;
    for (std::uint64_t step = 0; step < 64 && greatest == 0; ++step) {
      double out[4];
      sbora::detail::apply_dropout(delta, step, {ones, 1, 4}, nullptr, out, serial);
      greatest = *std::max_element(out, out + 4);
    }
    return greatest;
  };
  CHECK(kept(1e-12) == 1);
  CHECK(kept(0.75) == 4);
  CHECK(kept(0.9) == 1 / (1 - std::floor(0.9 * 0x1p32) * 0x1p-32));
}

TEST_CASE("dropout leaves the frozen part alone") {
  dropout_run<adapter_kind::fb> run(usual);
  std::fill(run.p.adapter.parameters().begin(), run.p.adapter.parameters().end(), 0.0F);
  auto base = run.p.empty_y();
  run.p.layer().forward(activation(run.p.x), activation(base), run.memory);
  CHECK(same(run.train(1), base));
}
