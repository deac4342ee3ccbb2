// Grouped products of a stack of experts: the bits of a loop over linear layers, whatever the storage, the routing and
// the executor; tokens that go nowhere, experts without any.

#include <sys/mman.h>

#include <sbora/executors/thread_pool.hpp>
#include <sbora/layers/grouped_linear.hpp>
#include <sbora/layers/linear.hpp>
#include <sbora/merge/overlay.hpp>
#include <sbora/quantized.hpp>

#include "support/catch.hpp"
#include "support/fp8_codes.hpp"
#include "support/ggml_blocks.hpp"
#include "support/gradient_check.hpp"
#include "support/guarded_buffer.hpp"
#include "support/layer_problem.hpp"
#include "support/message.hpp"

using namespace sbora_tests;
using sbora::adapter_kind;
using sbora::expert_groups;
using sbora::expert_tokens;
using sbora::grouped_linear;
using sbora::storage;

namespace {

constexpr index_t experts = 6;

/// Each token's experts: different ones, some none; expert 2 has no token, and expert 4 many.
std::vector<index_t> random_ids(index_t tokens, index_t per_token, std::uint64_t seed) {
  sbora::random_stream random(seed);
  std::vector<index_t> ids;
  for (index_t t = 0; t < tokens; ++t) {
    for (index_t j = 0; j < per_token; ++j) {
      const index_t id = random.below(experts + 3) - 1;
      ids.push_back(id >= experts ? 4 : id == 2 ? sbora::no_expert : id);
    }
  }
  return ids;
}

/// FA and FB in turn, one expert without, one disabled.
template <class T>
struct expert_adapters {
  std::vector<sbora::fa_adapter<T>> fa;
  std::vector<sbora::fb_adapter<T>> fb;

  expert_adapters(index_t d_out, index_t d_in, double dropout) {
    for (index_t e = 0; e < experts; ++e) {
      const auto seed = static_cast<std::uint64_t>(10 * e + 3);
      const sbora::adapter_options options = {
          .alpha = 2 + static_cast<double>(e), .dropout = dropout, .dropout_seed = seed};
      fa.emplace_back(d_out, d_in, sbora::sample_region(d_in, 1 + e, seed + 1), options);
      fb.emplace_back(d_out, d_in, sbora::sample_region(d_out, 2 + e, seed + 2), options);
      fill_random(fa.back().parameters(), seed + 3);
      fill_random(fb.back().parameters(), seed + 4);
    }
    fb[5].set_enabled(false);
  }
  template <class Function>
  void visit(index_t e, const Function& f) {
    const auto at = static_cast<std::size_t>(e);
    if (e % 2 == 0) f(fa[at]);
    else f(fb[at]);
  }
  sbora::delta_list<T> deltas() {
    sbora::delta_list<T> list;
    for (index_t e = 0; e < experts; ++e) visit(e, [&](const auto& a) { list.push_back(a.delta()); });
    list[1].enabled = false;
    return list;
  }
  std::vector<T> gradients() {
    std::vector<T> all;
    for (index_t e = 0; e < experts; ++e) {
      visit(e, [&](auto& a) {
        all.insert(all.end(), a.gradient().begin(), a.gradient().end());
        a.zero_gradient();
      });
    }
    return all;
  }
};

template <class X>
padded_matrix<X> rows_from(const padded_matrix<X>& m, std::span<const index_t> rows) {
  padded_matrix<X> some(std::ssize(rows), m.cols(), 0);
  for (index_t i = 0; i < some.rows(); ++i) {
    for (index_t j = 0; j < m.cols(); ++j) some(i, j) = m(rows[static_cast<std::size_t>(i)], j);
  }
  return some;
}

/// Everything that a training step writes.
template <class T, class X>
struct step_results {
  padded_matrix<X> y, training_y, dx;
  std::vector<T> gradients;

  friend bool operator==(const step_results& a, const step_results& b) {
    return same_bits(a.y.memory(), b.y.memory()) && same_bits(a.training_y.memory(), b.training_y.memory()) &&
           same_bits(a.dx.memory(), b.dx.memory()) && same_bits<T>(a.gradients, b.gradients);
  }
};

/// By one linear layer after the other, on copies of its tokens.
template <class Weight, class X>
auto by_loop(const std::vector<Weight>& weights, const padded_matrix<X>& x, const padded_matrix<X>& dy,
             const expert_groups& groups, expert_adapters<typename Weight::compute_scalar>& adapters,
             sbora::training_step step) {
  using T = typename Weight::compute_scalar;
  const index_t d_out = weights[0].d_out(), d_in = weights[0].d_in(), tokens = x.rows();
  step_results<T, X> r = {{dy.rows(), d_out, 2}, {dy.rows(), d_out, 2}, {tokens, d_in, 1}, {}};
  padded_matrix<T> sum(tokens, d_in, 0);
  for (index_t t = 0; t < tokens; ++t) std::fill_n(&sum(t, 0), d_in, T{0});
  sbora::workspace memory;
  const auto deltas = adapters.deltas();
  for (index_t e = 0; e < experts; ++e) {
    const auto at = static_cast<std::size_t>(e);
    std::vector<index_t> rows, places;
    for (index_t p = groups.offsets[at]; p < groups.offsets[at + 1]; ++p) {
      places.push_back(p);
      rows.push_back(groups.rows.empty() ? p : groups.rows[static_cast<std::size_t>(p)]);
    }
    if (rows.empty()) continue;
    const auto in = rows_from(x, rows), out = rows_from(dy, places);
    padded_matrix<X> y(std::ssize(rows), d_out), training_y(std::ssize(rows), d_out);
    padded_matrix<T> dx(std::ssize(rows), d_in);
    const sbora::linear layer(weights[at]);
    adapters.visit(e, [&](auto& a) {
      const bool was_enabled = a.enabled();
      a.set_enabled(deltas[at].enabled);
      a.set_dropout_step(step.dropout_step);
      std::conditional_t<std::remove_cvref_t<decltype(a)>::kind == adapter_kind::fa, sbora::fa_saved<T>,
                         sbora::fb_saved<T, X>>
          saved;
      layer.forward(activation(in), activation(y), std::as_const(a), memory);
      layer.forward(activation(in), activation(training_y), a, saved, memory);
      layer.backward(activation(out), activation(dx), a, saved, memory);
      a.set_enabled(was_enabled);
    });
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const auto place = static_cast<index_t>(i);
      for (index_t o = 0; o < d_out; ++o) {
        r.y(places[i], o) = y(place, o);
        r.training_y(places[i], o) = training_y(place, o);
      }
      for (index_t k = 0; k < d_in; ++k) sum(rows[i], k) += dx(place, k);
    }
  }
  for (index_t t = 0; t < tokens; ++t) {
    for (index_t k = 0; k < d_in; ++k) r.dx(t, k) = static_cast<X>(sum(t, k));
  }
  r.gradients = adapters.gradients();
  return r;
}

template <class X, class Weight, class Executor = sbora::serial_executor>
auto by_group(const grouped_linear<Weight>& layer, const padded_matrix<X>& x, const padded_matrix<X>& dy,
              const expert_groups& groups, expert_adapters<typename Weight::compute_scalar>& adapters,
              sbora::training_step step, Executor&& pool = {}) {
  using T = typename Weight::compute_scalar;
  step_results<T, X> r = {
      {dy.rows(), layer.d_out(), 2}, {dy.rows(), layer.d_out(), 2}, {x.rows(), layer.d_in(), 1}, {}};
  sbora::workspace memory;
  const auto deltas = adapters.deltas();
  layer.forward(activation(x), activation(r.y), groups, deltas, memory, pool);
  layer.forward(activation(x), activation(r.training_y), groups, deltas, step, memory, pool);
  layer.backward(activation(dy), activation(x), activation(r.dx), groups, deltas, step, memory, pool);
  r.gradients = adapters.gradients();
  layer.backward(activation(dy), activation(x), sbora::no_dx, groups, deltas, step, memory, pool);
  CHECK(same_bits<T>(adapters.gradients(), r.gradients));
  return r;
}

template <class X, class Weight>
void check_stack(const std::vector<Weight>& weights, index_t tokens, double dropout) {
  const index_t d_out = weights[0].d_out(), d_in = weights[0].d_in();
  CAPTURE(d_out, d_in, tokens, dropout, sizeof(X));
  expert_adapters<typename Weight::compute_scalar> adapters(d_out, d_in, dropout);
  const expert_tokens routed(random_ids(tokens, 2, 1), 2, experts);
  const grouped_linear layer(weights);
  sbora::thread_pool pool(3);
  const sbora::training_step step = {5};
  for (const bool sorted : {false, true}) {
    CAPTURE(sorted);
    const expert_groups groups = sorted ? routed.sorted() : routed.groups();
    padded_matrix<X> x(groups.tokens, d_in, 3), dy(groups.places(), d_out, 1);
    x.randomise(2);
    dy.randomise(3);
    const auto expected = by_loop(weights, x, dy, groups, adapters, step);
    CHECK((by_group(layer, x, dy, groups, adapters, step) == expected));
    CHECK((by_group(layer, x, dy, groups, adapters, step, pool) == expected));
  }
}

template <class X, class Weight>
void check_stack(const Weight& stack) {
  const auto weights = experts_of(stack, experts);
  for (const index_t tokens : {3, 40, 150}) check_stack<X>(weights, tokens, 0);
  check_stack<X>(weights, 40, 0.25);
}

template <class Scalar, class X>
void check_dense() {
  for (const storage order : {storage::out_by_in, storage::in_by_out}) {
    const bool straight = order == storage::out_by_in;
    padded_matrix<Scalar> stack(experts * (straight ? 21 : 34), straight ? 34 : 21, 0);
    stack.randomise(7);
    check_stack<X>(sbora::weight_view<const Scalar>(stack.data(), straight ? experts * 21 : 21,
                                                    straight ? 34 : experts * 34, 0, order));
  }
}

}  // namespace

TEST_CASE("an expert's weight is its part of the stack") {
  const index_t d_out = 3, d_in = 5;
  const std::vector<float> stack = random_vector<float>(experts * d_out * d_in, 1);
  for (const storage order : {storage::out_by_in, storage::in_by_out}) {
    const bool straight = order == storage::out_by_in;
    const sbora::weight_view<const float> whole(stack.data(), straight ? experts * d_out : d_out,
                                                straight ? d_in : experts * d_in, 0, order);
    const auto weights = experts_of(whole, experts);
    REQUIRE(std::ssize(weights) == experts);
    for (index_t e = 0; e < experts; ++e) {
      const auto& weight = weights[static_cast<std::size_t>(e)];
      REQUIRE((weight.d_out() == d_out && weight.d_in() == d_in && weight.order() == order));
      const auto source = weight.source();
      for (index_t o = 0; o < d_out; ++o) {
        for (index_t i = 0; i < d_in; ++i) {
          const index_t at = straight ? o * source.stride + i : i * source.stride + o;
          const index_t of_stack = e * d_out * d_in + (straight ? o * d_in + i : i * d_out + o);
          CHECK(source.data[at] == stack[static_cast<std::size_t>(of_stack)]);
        }
      }
    }
  }
}

TEST_CASE("grouped layers of every storage have the bits of a loop over layers") {
  check_dense<float, float>();
  check_dense<double, double>();
  check_dense<Eigen::bfloat16, float>();
  check_dense<Eigen::bfloat16, Eigen::bfloat16>();
  check_dense<Eigen::half, float>();
  const std::vector<float> dense = random_vector<float>(experts * 64 * 128, 2);
  const sbora::weight_view w(dense.data(), experts * 32, 256);
  const sbora::four_bit_weight nf4(w);
  check_stack<float>(nf4.view());
  check_stack<Eigen::bfloat16>(nf4.view());
  const sbora::four_bit_weight nested(sbora::weight_view(dense.data(), experts * 64, 128),
                                      {.blocksize = 32, .nested = true});
  check_stack<float>(nested.view());
  const sbora::int8_weight int8(w);
  check_stack<float>(int8.view());
  for (const sbora::fp8_scaling scaling : {sbora::fp8_scaling::tensor, sbora::fp8_scaling::row}) {
    check_stack<float>(fp8_codes(experts * 20, 140, scaling, 3).view());
  }
  check_stack<float>(fp8_codes(experts * 128, 140, sbora::fp8_scaling::block_128, 3).view());
  for (const sbora::ggml_type type : all_ggml_types) {
    CAPTURE(sbora::to_string(type));
    check_stack<float>(ggml_blocks(experts * 20, 512, type, 4).view());
  }
}

TEST_CASE("groups that all threads share") {
  padded_matrix<float> stack(experts * 400, 300, 0);
  stack.randomise(1);
  check_stack<float>(experts_of(sbora::weight_view<const float>(stack.data(), experts * 400, 300), experts), 300, 0);
}

TEST_CASE("an expert's overlay, and frozen experts") {
  padded_matrix<float> stack(experts * 12, 20, 0);
  stack.randomise(1);
  const auto weights = experts_of(sbora::weight_view<const float>(stack.data(), experts * 12, 20), experts);
  grouped_linear layer(weights);
  expert_adapters<float> adapters(12, 20, 0);
  const expert_tokens routed(random_ids(30, 2, 1), 2, experts);
  const expert_groups groups = routed.groups();
  padded_matrix<float> x(30, 20, 1), y(groups.places(), 12), expected(y), dx(30, 20), expected_dx(dx), dy(y);
  x.randomise(2);
  dy.randomise(3);
  sbora::workspace memory;
  sbora::delta_list<float> deltas = adapters.deltas();
  for (std::size_t e = 0; e < deltas.size(); ++e) {
    deltas[e].enabled = e == 3;
    deltas[e].gradient = nullptr;
  }
  const padded_matrix<float> no_x(30, 20, 1);  // NaN: frozen adapters don't read it
  layer.forward(activation(x), activation(expected), groups, deltas, memory);
  layer.backward(activation(std::as_const(dy)), activation(no_x), activation(expected_dx), groups, deltas, {}, memory);
  sbora::overlay<float> merged(12, 20);
  merged.merge(adapters.fb[3]);
  layer.set_overlay(3, &merged.deltas());
  layer.forward(activation(x), activation(y), groups, {}, memory);
  layer.backward(activation(std::as_const(dy)), activation(no_x), activation(dx), groups, {}, {}, memory);
  CHECK(same_bits(y.memory(), expected.memory()));
  CHECK(same_bits(dx.memory(), expected_dx.memory()));
  for (index_t t = 0; t < 30; ++t) {
    for (index_t k = 0; k < 20; ++k) CHECK(std::isfinite(dx(t, k)));  // those without an expert, too
  }
}

TEST_CASE("gradients are central differences") {
  padded_matrix<double> stack(experts * 7, 9, 0);
  stack.randomise(1);
  const grouped_linear layer(experts_of(sbora::weight_view<const double>(stack.data(), experts * 7, 9), experts));
  expert_adapters<double> adapters(7, 9, 0.25);
  const expert_tokens routed(random_ids(25, 2, 1), 2, experts);
  const expert_groups groups = routed.groups();
  padded_matrix<double> x(25, 9, 1), dy(groups.places(), 7), dx(25, 9);
  x.randomise(2);
  dy.randomise(3);
  sbora::workspace memory;
  const auto deltas = adapters.deltas();
  const auto loss = [&] {
    padded_matrix<double> y(groups.places(), 7);
    layer.forward(activation(std::as_const(x)), activation(y), groups, deltas, sbora::training_step{9}, memory);
    double sum = 0;
    for (index_t p = 0; p < y.rows(); ++p) {
      for (index_t o = 0; o < 7; ++o) sum += y(p, o) * dy(p, o);
    }
    return sum;
  };
  layer.backward(activation(std::as_const(dy)), activation(std::as_const(x)), activation(dx), groups, deltas,
                 sbora::training_step{9}, memory);
  const auto check = [&](double& value, double gradient) { check_gradient(value, gradient, loss); };
  index_t not_zero = 0;
  for (index_t e = 0; e < experts; ++e) {
    adapters.visit(e, [&](auto& a) {
      for (std::size_t i = 0; i < a.parameters().size(); ++i) {
        check(a.parameters()[i], a.gradient()[i]);
        not_zero += a.gradient()[i] != 0;
      }
    });
  }
  CHECK(not_zero > 50);
  for (index_t t = 0; t < 25; ++t) {
    for (index_t k = 0; k < 9; ++k) check(x(t, k), dx(t, k));
  }
}

TEST_CASE("a token's bits don't depend on the others") {
  padded_matrix<float> stack(experts * 40, 70, 0);
  stack.randomise(1);
  grouped_linear layer(experts_of(sbora::weight_view<const float>(stack.data(), experts * 40, 70), experts));
  layer.set_batch_invariant(true);
  expert_adapters<float> adapters(40, 70, 0);
  auto deltas = adapters.deltas();
  const index_t tokens = 90;
  const std::vector<index_t> ids = random_ids(tokens, 1, 1);
  padded_matrix<float> x(tokens, 70, 1);
  x.randomise(2);
  sbora::workspace memory;
  const auto results_of = [&](const std::vector<index_t>& some) {
    std::vector<index_t> their;
    for (const index_t t : some) their.push_back(ids[static_cast<std::size_t>(t)]);
    const expert_tokens routed(their, 1, experts);
    padded_matrix<float> y(routed.groups().places(), 40), of_tokens(std::ssize(some), 40);
    layer.forward(activation(rows_from(x, some)), activation(y), routed.groups(), deltas, memory);
    for (index_t p = 0; p < y.rows(); ++p) {
      std::copy_n(&y(p, 0), 40, &of_tokens(routed.choices()[static_cast<std::size_t>(p)], 0));
    }
    return of_tokens;
  };
  std::vector<index_t> all(static_cast<std::size_t>(tokens));
  for (index_t t = 0; t < tokens; ++t) all[static_cast<std::size_t>(t)] = t;
  const auto together = results_of(all);
  sbora::random_stream random(4);
  for (int trial = 0; trial < 60; ++trial) {
    std::vector<index_t> some;
    const index_t share = 1 + random.below(60);
    for (index_t t = 0; t < tokens; ++t) {
      if (random.below(60) < share) some.insert(some.begin() + random.below(std::ssize(some) + 1), t);
    }
    CHECK(same_bits(results_of(some).memory(), rows_from(together, some).memory()));
  }
}

TEST_CASE("nothing outside of what is routed is read or written") {
  constexpr index_t d_out = 19, d_in = 37, tokens = 33;
  std::vector<index_t> ids = random_ids(tokens, 2, 5);
  for (index_t& id : ids) id = id == 0 ? 1 : id;
  void* const nobodys = mmap(nullptr, 65536, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  REQUIRE(nobodys != MAP_FAILED);
  const expert_tokens routed(ids, 2, experts);
  const expert_groups groups = routed.groups();
  std::vector<std::vector<float>> seen;
  for (const guard side : both_guards) {
    std::vector<std::unique_ptr<guarded_matrix<float>>> memory_of;
    std::vector<sbora::weight_view<const float>> weights;
    for (index_t e = 0; e < experts; ++e) {
      memory_of.push_back(std::make_unique<guarded_matrix<float>>(d_out, d_in, d_in + 2, side));
      sbora::random_stream random(static_cast<std::uint64_t>(e));
      memory_of.back()->fill([&] { return static_cast<float>(random.uniform()); });
      const bool used = groups.offsets[static_cast<std::size_t>(e)] < groups.offsets[static_cast<std::size_t>(e) + 1];
      CHECK(used == (e != 0 && e != 2));
      weights.emplace_back(used ? memory_of.back()->data() : static_cast<const float*>(nobodys), d_out, d_in, d_in + 2);
    }
    const guarded_matrix<float> x(tokens, d_in, d_in + 1, side), dx(tokens, d_in, d_in + 3, side);
    const guarded_matrix<float> y(groups.places(), d_out, d_out + 1, side), dy(groups.places(), d_out, d_out, side);
    sbora::random_stream random(9);
    x.fill([&] { return static_cast<float>(random.uniform()); });
    dy.fill([&] { return static_cast<float>(random.uniform()); });
    const guarded_buffer<index_t> rows(groups.rows, side), offsets(groups.offsets, side);
    const expert_groups guarded = {{offsets.data(), static_cast<std::size_t>(offsets.size())},
                                   {rows.data(), static_cast<std::size_t>(rows.size())},
                                   tokens};
    const auto view = [](const guarded_matrix<float>& m) {
      return sbora::activation_view<float>(m.data(), m.rows(), m.cols(), m.stride());
    };
    expert_adapters<float> adapters(d_out, d_in, 0.25);
    const auto deltas = adapters.deltas();
    sbora::workspace memory;
    const grouped_linear layer(weights);
    layer.forward(view(x), view(y), guarded, deltas, memory);
    layer.forward(view(x), view(y), guarded, deltas, sbora::training_step{1}, memory);
    layer.backward(view(dy), view(x), view(dx), guarded, deltas, sbora::training_step{1}, memory);
    seen.emplace_back();
    for (const auto* m : {&y, &dx}) {
      CHECK(m->memory().intact());
      const float unused = padding<float>();
      for (index_t at = 0; at < m->memory().size(); ++at) {
        if (at % m->stride() < m->cols()) seen.back().push_back(m->memory()[at]);
        else CHECK(std::memcmp(&m->memory()[at], &unused, sizeof unused) == 0);
      }
    }
    const auto gradients = adapters.gradients();
    seen.back().insert(seen.back().end(), gradients.begin(), gradients.end());
    for (const float value : seen.back()) CHECK(std::isfinite(value));
  }
  CHECK(same_bits<float>(seen[0], seen[1]));
  munmap(nobodys, 65536);
}

TEST_CASE("tokens sorted by expert") {
  expert_tokens tokens(std::vector<index_t>{2, 0, -1, 2, 0, 1, 2, 2}, 2, 4);
  const auto list = [](std::span<const index_t> some) { return std::vector<index_t>(some.begin(), some.end()); };
  const auto check_kept = [&] {
    CHECK(list(tokens.groups().offsets) == std::vector<index_t>{0, 2, 3, 7, 7});
    CHECK(list(tokens.groups().rows) == std::vector<index_t>{0, 2, 2, 0, 1, 3, 3});
    CHECK(list(tokens.choices()) == std::vector<index_t>{1, 4, 5, 0, 3, 6, 7});
    CHECK((tokens.groups().tokens == 4 && tokens.groups().places() == 7 && tokens.groups().experts() == 4));
    CHECK((tokens.sorted().rows.empty() && tokens.sorted().tokens == 7));
  };
  check_kept();
  CHECK_ERROR(sbora::config_error, "id 4 at position 1 is outside [0, 4)",
              tokens.assign(std::vector<index_t>{0, 4}, 1, 4));
  CHECK_ERROR(sbora::config_error, "id -2 at position 0", tokens.assign(std::vector<index_t>{-2, 3}, 1, 4));
  CHECK_ERROR(sbora::config_error, "3 ids, 2 for each token", tokens.assign(std::vector<index_t>{1, 2, 3}, 2, 4));
  CHECK_ERROR(sbora::config_error, "0 for each token", tokens.assign(std::vector<index_t>{1}, 0, 4));
  CHECK_ERROR(sbora::config_error, "of 0 experts", tokens.assign(std::vector<index_t>{-1}, 1, 0));
  check_kept();
  tokens.assign({}, 2, 3);
  CHECK((tokens.groups().places() == 0 && tokens.groups().experts() == 3 && tokens.groups().tokens == 0));
  tokens.assign(std::vector<index_t>{0, -1}, 1, 1);
  CHECK(list(tokens.groups().offsets) == std::vector<index_t>{0, 1});
}

TEST_CASE("tokens that no expert has get zeros") {
  padded_matrix<float> stack(24, 10, 0), x(3, 10, 1), y(0, 12), dx(3, 10, 2);
  stack.randomise(1), x.randomise(2), dx.randomise(3);
  const grouped_linear layer(experts_of(sbora::weight_view<const float>(stack.data(), 24, 10), 2));
  const expert_tokens nobody(std::vector<index_t>(3, sbora::no_expert), 1, 2);
  sbora::workspace memory;
  layer.forward(activation(x), activation(y), nobody.groups(), {}, memory);
  layer.backward(activation(std::as_const(y)), activation(x), activation(dx), nobody.groups(), {}, {}, memory);
  for (index_t t = 0; t < 3; ++t) {
    for (index_t k = 0; k < 10; ++k) CHECK(dx(t, k) == 0);
  }
  CHECK(dx.padding_intact());
}

TEST_CASE("what a grouped layer refuses, before anything is written") {
  padded_matrix<float> stack(24, 10, 0), x(5, 10), y(6, 12), dx(5, 10), narrow(5, 9);
  stack.randomise(1), x.randomise(2), y.randomise(3), dx.randomise(4);
  const sbora::weight_view<const float> whole(stack.data(), 24, 10);
  CHECK_ERROR(sbora::shape_error, "5 equal weights in one of 24 x 10", experts_of(whole, 5));
  CHECK_ERROR(sbora::shape_error, "0 equal weights", experts_of(whole, 0));
  const auto weights = experts_of(whole, 2);
  CHECK_ERROR(sbora::shape_error, "no weights", grouped_linear(decltype(weights)()));
  CHECK_ERROR(sbora::shape_error, "weight 1 is 24 x 10, the first is 12 x 10",
              grouped_linear(std::vector{weights[0], whole}));
  grouped_linear layer(weights);
  sbora::overlay<float> other(12, 9);
  sbora::fa_adapter<float> wrong(12, 9, sbora::sample_region(9, 2, 1)), right(12, 10, sbora::sample_region(10, 2, 1));
  other.merge(wrong);
  CHECK_ERROR(sbora::shape_error, "no expert 2", layer.set_overlay(2, nullptr));
  CHECK_ERROR(sbora::shape_error, "the overlay is for a weight of 12 x 9", layer.set_overlay(0, &other.deltas()));

  using list = std::vector<index_t>;
  const list rows = {0, 3, 4, 1, 2, 3};
  const padded_matrix<float> y_before = y, dx_before = dx;
  sbora::workspace memory;
  const auto refused = [&](const std::string& text, const list& offsets, const list& its_rows, index_t tokens,
                           const sbora::delta_list<float>& deltas, const padded_matrix<float>& input) {
    const expert_groups groups = {offsets, its_rows, tokens};
    const auto forward = [&] { layer.forward(activation(input), activation(y), groups, deltas, memory); };
    const auto backward = [&] {
      layer.backward(activation(std::as_const(y)), activation(input), activation(dx), groups, deltas, {}, memory);
    };
    CHECK_ERROR(sbora::assertion_error, text, forward());
    CHECK_ERROR(sbora::assertion_error, text, backward());
    CHECK(same_bits(y.memory(), y_before.memory()));
    CHECK(same_bits(dx.memory(), dx_before.memory()));
  };
  const list good = {0, 2, 6};
  refused("another number of experts: 1, now 2", {0, 6}, rows, 5, {}, x);
  refused("another number of experts: -1, now 2", {}, rows, 5, {}, x);
  refused("offsets don't ascend", {0, 7, 6}, rows, 5, {}, x);
  refused("offsets don't ascend", {1, 2, 6}, rows, 5, {}, x);
  refused("another number of rows than their offsets say: 6, now 5", {0, 2, 5}, rows, 5, {}, x);
  refused("a row of the groups is no token", good, rows, 4, {}, x);
  refused("a row of the groups is no token", good, {0, 3, 4, 1, 2, -1}, 5, {}, x);
  refused("x has another number of tokens than the groups are of: 5, now 6", good, rows, 6, {}, x);
  refused("x has another number of tokens than the groups are of: 5, now 6", good, {}, 6, {}, x);
  refused("another number of rows than their offsets say: 0, now 6", good, {}, 5, {}, x);
  refused("d_in is 10", good, rows, 5, {}, narrow);
  refused("not one delta for each expert: 1, now 2", good, rows, 5, {right.delta()}, x);
  refused("another shape: 12 x 9, the weight is 12 x 10", good, rows, 5, {right.delta(), wrong.delta()}, x);
  const expert_groups fewer = {good, {}, 6};
  padded_matrix<float> short_y(5, 12);
  CHECK_ERROR(sbora::assertion_error, "y has another number of tokens than the groups have places: 5, now 6",
              layer.forward(activation(x), activation(short_y), fewer, {}, memory));
}
