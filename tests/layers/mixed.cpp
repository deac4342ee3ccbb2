// Batches whose tokens use different adapters: each adapter's part has the bits of a call on its own tokens, whatever
// else is in the batch, and the sums are those of the dense definition.

#include <sbora/executors/thread_pool.hpp>
#include <sbora/layers/delta.hpp>
#include <sbora/layers/mixed.hpp>

#include "support/catch.hpp"
#include "support/gradient_check.hpp"
#include "support/guarded_buffer.hpp"
#include "support/layer_problem.hpp"
#include "support/message.hpp"

using namespace sbora_tests;
using sbora::adapter_kind;
using sbora::adapter_rows;

namespace {

using ids_list = std::vector<std::vector<index_t>>;

/// Adapters of both kinds and several ranks on one layer, and a batch of lists of them.
template <class T>
struct mixed_problem {
  index_t d_out, d_in, tokens;
  std::vector<sbora::fa_adapter<T>> fa;
  std::vector<sbora::fb_adapter<T>> fb;
  padded_matrix<T> x, dy;

  mixed_problem(index_t d_out_, index_t d_in_, index_t tokens_, index_t adapters, double dropout, std::uint64_t seed)
      : d_out(d_out_), d_in(d_in_), tokens(tokens_), x(tokens, d_in, 3), dy(tokens, d_out, 2) {
    x.randomise(seed);
    dy.randomise(seed + 1);
    for (index_t i = 0; i < adapters; ++i) {
      const std::uint64_t its = seed + 100 + static_cast<std::uint64_t>(10 * i);
      const sbora::adapter_options options = {
          .alpha = 1 + 0.5 * static_cast<double>(i), .dropout = dropout, .dropout_seed = its + 1};
      const index_t rank = 1 + (3 * i) % 7;
      fa.emplace_back(d_out, d_in, sbora::sample_region(d_in, rank, its), options);
      fb.emplace_back(d_out, d_in, sbora::sample_region(d_out, rank, its + 2), options);
      fill_random(fa.back().parameters(), its + 3);
      fill_random(fb.back().parameters(), its + 4);
    }
  }

  /// FA first, then FB.
  index_t count() const { return static_cast<index_t>(fa.size() + fb.size()); }
  template <class Function>
  void visit(index_t id, const Function& f) {
    const auto at = static_cast<std::size_t>(id);
    if (at < fa.size()) f(fa[at]);
    else f(fb[at - fa.size()]);
  }
  sbora::delta_list<T> deltas() {
    sbora::delta_list<T> list;
    for (index_t id = 0; id < count(); ++id) visit(id, [&](const auto& a) { list.push_back(a.delta()); });
    return list;
  }
  padded_matrix<T> some_y() const {
    padded_matrix<T> y(tokens, d_out, 1);
    y.randomise(7);
    return y;
  }
  padded_matrix<T> some_dx() const {
    padded_matrix<T> dx(tokens, d_in, 4);
    dx.randomise(8);
    return dx;
  }
};

adapter_rows rows_of(const ids_list& lists, index_t adapters) {
  std::vector<index_t> ids, offsets = {0};
  for (const auto& list : lists) {
    ids.insert(ids.end(), list.begin(), list.end());
    offsets.push_back(static_cast<index_t>(ids.size()));
  }
  return adapter_rows(ids, offsets, adapters);
}

/// One adapter a token, or none, in runs or not.
ids_list single_ids(index_t tokens, index_t adapters, std::uint64_t seed, index_t run = 1) {
  sbora::random_stream random(seed);
  ids_list lists;
  index_t id = 0;
  for (index_t t = 0; t < tokens; ++t) {
    if (t % run == 0) id = random.below(adapters + 1) - 1;
    lists.push_back({id});
  }
  return lists;
}

ids_list several_ids(index_t tokens, index_t adapters, std::uint64_t seed) {
  sbora::random_stream random(seed);
  ids_list lists(static_cast<std::size_t>(tokens));
  for (auto& list : lists) {
    for (index_t count = random.below(4); count > 0; --count) list.push_back(random.below(adapters + 1) - 1);
  }
  return lists;
}

template <class T>
padded_matrix<T> rows_from(const padded_matrix<T>& m, const std::vector<index_t>& tokens) {
  padded_matrix<T> some(static_cast<index_t>(tokens.size()), m.cols(), 0);
  for (index_t i = 0; i < some.rows(); ++i) {
    for (index_t j = 0; j < m.cols(); ++j) some(i, j) = m(tokens[static_cast<std::size_t>(i)], j);
  }
  return some;
}
template <class T>
void rows_to(const padded_matrix<T>& some, padded_matrix<T>& m, const std::vector<index_t>& tokens) {
  for (index_t i = 0; i < some.rows(); ++i) {
    for (index_t j = 0; j < m.cols(); ++j) m(tokens[static_cast<std::size_t>(i)], j) = some(i, j);
  }
}

/// f(id, tokens) in the order of the lists' places, and of the ids in each.
template <class Function>
void for_each_use(const ids_list& lists, index_t adapters, const Function& f) {
  std::size_t longest = 0;
  for (const auto& list : lists) longest = std::max(longest, list.size());
  for (std::size_t place = 0; place < longest; ++place) {
    for (index_t id = 0; id < adapters; ++id) {
      std::vector<index_t> tokens;
      for (std::size_t t = 0; t < lists.size(); ++t) {
        if (place < lists[t].size() && lists[t][place] == id) tokens.push_back(static_cast<index_t>(t));
      }
      if (!tokens.empty()) f(id, tokens);
    }
  }
}

/// Forward, training forward and backward of the batch against one call for each adapter's tokens.
template <class T>
void check_against_calls(mixed_problem<T>& p, const ids_list& lists) {
  const adapter_rows rows = rows_of(lists, p.count());
  sbora::workspace memory, its_memory;
  sbora::thread_pool pool(3);
  {
    auto expected = p.some_y();
    for_each_use(lists, p.count(), [&](index_t id, const std::vector<index_t>& tokens) {
      const auto x = rows_from(p.x, tokens);
      auto y = rows_from(expected, tokens);
      p.visit(id, [&](const auto& a) { delta_forward(a, activation(x), activation(y), its_memory); });
      rows_to(y, expected, tokens);
    });
    auto y = p.some_y(), shared = p.some_y();
    mixed_forward(p.deltas(), rows, activation(p.x), activation(y), memory);
    mixed_forward(p.deltas(), rows, activation(p.x), activation(shared), memory, pool);
    CHECK(same_bits(y.memory(), expected.memory()));
    CHECK(same_bits(shared.memory(), expected.memory()));
  }
  constexpr std::uint64_t step = 5;
  auto expected_y = p.some_y();
  auto expected_dx = p.some_dx();
  for (index_t id = 0; id < p.count(); ++id) p.visit(id, [](auto& a) { a.zero_gradient(); });
  for_each_use(lists, p.count(), [&](index_t id, const std::vector<index_t>& tokens) {
    const auto x = rows_from(p.x, tokens), dy = rows_from(p.dy, tokens);
    auto y = rows_from(expected_y, tokens), dx = rows_from(expected_dx, tokens);
    p.visit(id, [&](auto& a) {
      typename std::remove_cvref_t<decltype(a)>::saved_type saved;
      a.set_dropout_step(step);
      delta_forward(a, activation(x), activation(y), saved, its_memory);
      delta_backward(a, activation(dy), activation(dx), saved, its_memory);
    });
    rows_to(y, expected_y, tokens);
    rows_to(dx, expected_dx, tokens);
  });
  std::vector<std::vector<T>> gradients;
  for (index_t id = 0; id < p.count(); ++id) {
    p.visit(id, [&](auto& a) {
      gradients.emplace_back(a.gradient().begin(), a.gradient().end());
      a.zero_gradient();
    });
  }
  const auto check_gradients = [&] {
    for (index_t id = 0; id < p.count(); ++id) {
      p.visit(id, [&](auto& a) {
        CHECK(same_bits<T>(a.gradient(), gradients[static_cast<std::size_t>(id)]));
        a.zero_gradient();
      });
    }
  };
  auto y = p.some_y();
  auto dx = p.some_dx(), shared_dx = p.some_dx();
  mixed_forward(p.deltas(), rows, activation(p.x), activation(y), sbora::training_step{step}, memory);
  CHECK(same_bits(y.memory(), expected_y.memory()));
  mixed_backward(p.deltas(), rows, activation(p.dy), activation(p.x), activation(dx), sbora::training_step{step},
                 memory);
  CHECK(same_bits(dx.memory(), expected_dx.memory()));
  check_gradients();
  mixed_backward(p.deltas(), rows, activation(p.dy), activation(p.x), activation(shared_dx), sbora::training_step{step},
                 memory, pool);
  CHECK(same_bits(shared_dx.memory(), expected_dx.memory()));
  check_gradients();
  mixed_backward(p.deltas(), rows, activation(p.dy), activation(p.x), sbora::no_dx, sbora::training_step{step}, memory);
  check_gradients();
}

}  // namespace

TEMPLATE_TEST_CASE("every adapter's part has the bits of a call on its tokens", "", float, double) {
  for (std::uint64_t seed = 1; seed < 9; ++seed) {
    CAPTURE(seed);
    sbora::random_stream random(seed);
    const index_t tokens = 1 + random.below(60), adapters = 1 + random.below(6);
    const index_t d_out = 8 + random.below(40), d_in = 8 + random.below(40);
    mixed_problem<TestType> p(d_out, d_in, tokens, adapters, seed % 2 == 0 ? 0.25 : 0, seed);
    check_against_calls(p, single_ids(tokens, p.count(), seed));
    check_against_calls(p, single_ids(tokens, p.count(), seed, 7));
    check_against_calls(p, several_ids(tokens, p.count(), seed));
  }
}

TEST_CASE("groups that are large enough for all threads") {
  mixed_problem<float> p(1500, 1400, 900, 3, 0, 3);
  check_against_calls(p, single_ids(p.tokens, p.count(), 1));
}

TEST_CASE("the sums are those of the dense definition") {
  mixed_problem<float> p(33, 27, 40, 4, 0, 11);
  const ids_list lists = several_ids(p.tokens, p.count(), 2);
  auto y = p.some_y();
  exact_matrix exact = exact_of(y), magnitude = exact.cwiseAbs();
  for (index_t t = 0; t < p.tokens; ++t) {
    for (const index_t id : lists[static_cast<std::size_t>(t)]) {
      if (id == sbora::no_adapter) continue;
      p.visit(id, [&](const auto& a) {
        constexpr bool is_fa = std::remove_cvref_t<decltype(a)>::kind == adapter_kind::fa;
        for (index_t j = 0; j < a.rank(); ++j) {
          const index_t at = a.target().indices()[static_cast<std::size_t>(j)];
          for (index_t k = 0; k < (is_fa ? p.d_out : p.d_in); ++k) {
            const index_t row = is_fa ? k : at, column = is_fa ? at : k;
            const long double term = static_cast<long double>(a.scale()) *
                                     static_cast<long double>(a.matrix()(is_fa ? k : j, is_fa ? j : k)) *
                                     static_cast<long double>(p.x(t, column));
            exact(t, row) += term;
            magnitude(t, row) += std::abs(term);
          }
        }
      });
    }
  }
  sbora::workspace memory;
  mixed_forward(p.deltas(), rows_of(lists, p.count()), activation(p.x), activation(y), memory);
  // At most three adapters a token: a sum over d_in or rank each, the scale, and the additions.
  CHECK(first_difference(y, exact, magnitude, gamma_of<float>(p.d_in + 12)) == "");
  CHECK(y.padding_intact());
}

TEST_CASE("gradients of a batch are central differences") {
  mixed_problem<double> p(9, 7, 12, 2, 0.25, 3);
  const adapter_rows rows = rows_of(several_ids(p.tokens, p.count(), 4), p.count());
  constexpr sbora::training_step step{5};
  sbora::workspace memory;
  const auto loss = [&] {
    padded_matrix<double> y(p.tokens, p.d_out);
    for (index_t t = 0; t < p.tokens; ++t) {
      for (index_t o = 0; o < p.d_out; ++o) y(t, o) = 0;
    }
    mixed_forward(p.deltas(), rows, activation(p.x), activation(y), step, memory);
    double sum = 0;
    for (index_t t = 0; t < p.tokens; ++t) {
      for (index_t o = 0; o < p.d_out; ++o) sum += y(t, o) * p.dy(t, o);
    }
    return sum;
  };
  padded_matrix<double> dx(p.tokens, p.d_in);
  for (index_t t = 0; t < p.tokens; ++t) {
    for (index_t i = 0; i < p.d_in; ++i) dx(t, i) = 0;
  }
  mixed_backward(p.deltas(), rows, activation(p.dy), activation(p.x), activation(dx), step, memory);
  index_t not_zero = 0;
  const auto check = [&](double& value, double gradient) {
    check_gradient(value, gradient, loss);
    not_zero += gradient != 0;
  };
  for (index_t id = 0; id < p.count(); ++id) {
    p.visit(id, [&](auto& a) {
      for (std::size_t i = 0; i < a.parameters().size(); ++i) check(a.parameters()[i], a.gradient()[i]);
    });
  }
  for (index_t t = 0; t < p.tokens; ++t) {
    for (index_t i = 0; i < p.d_in; ++i) check(p.x(t, i), dx(t, i));
  }
  CHECK(not_zero > 60);
}

TEST_CASE("a token's bits don't depend on the others or on its place") {
  mixed_problem<float> p(64, 48, 32, 16, 0, 5);
  std::vector<index_t> ids(32);
  for (std::size_t t = 0; t < ids.size(); ++t) ids[t] = static_cast<index_t>(t);
  sbora::workspace memory;
  auto y = p.some_y();
  mixed_forward(p.deltas(), adapter_rows(ids, p.count()), activation(p.x), activation(y), memory);
  sbora::random_stream random(1);
  for (int trial = 0; trial < 200; ++trial) {
    const index_t size = 1 + random.below(31);
    std::vector<index_t> tokens;
    for (index_t t = 0; t < p.tokens; ++t) {
      if (random.below(32) < size) tokens.insert(tokens.begin() + random.below(index_t(tokens.size()) + 1), t);
    }
    if (tokens.empty()) continue;
    auto some = rows_from(p.some_y(), tokens);
    mixed_forward(p.deltas(), adapter_rows(tokens, p.count()), activation(rows_from(p.x, tokens)), activation(some),
                  memory);
    CHECK(same_bits(some.memory(), rows_from(y, tokens).memory()));
  }
}

TEST_CASE("nothing around the tokens is read or written") {
  constexpr index_t d_out = 19, d_in = 37, tokens = 33;
  const ids_list lists = several_ids(tokens, 2, 8);
  std::vector<std::vector<float>> seen;
  for (const guard side : both_guards) {
    const guarded_buffer<float> b(3 * d_out, side), of_b(3 * d_out, side), a(2 * d_in, side), of_a(2 * d_in, side);
    const guarded_matrix<float> x(tokens, d_in, d_in + 1, side), y(tokens, d_out, d_out + 2, side),
        dy(tokens, d_out, d_out, side), dx(tokens, d_in, d_in + 3, side);
    sbora::random_stream random(9);
    for (const auto* m : {&x, &y, &dy, &dx}) m->fill([&] { return static_cast<float>(random.uniform()); });
    const auto span_of = [](const guarded_buffer<float>& of) {
      return std::span(of.data(), static_cast<std::size_t>(of.size()));
    };
    for (const auto* of : {&b, &a}) fill_random(span_of(*of), 4);
    for (const auto* of : {&of_b, &of_a}) std::ranges::fill(span_of(*of), 0.0F);
    const sbora::fa_adapter<float> fa(d_out, d_in, sbora::region(d_in, {36, 0, 5}), {}, span_of(b), span_of(of_b));
    const sbora::fb_adapter<float> fb(d_out, d_in, sbora::region(d_out, {18, 2}), {}, span_of(a), span_of(of_a));
    const sbora::delta_list<float> deltas = {fa.delta(), fb.delta()};
    const auto view = [](const guarded_matrix<float>& m) {
      return sbora::activation_view<float>(m.data(), m.rows(), m.cols(), m.stride());
    };
    sbora::workspace memory;
    const adapter_rows rows = rows_of(lists, 2);
    mixed_forward(deltas, rows, view(x), view(y), memory);
    mixed_forward(deltas, rows, view(x), view(y), sbora::training_step{1}, memory);
    mixed_backward(deltas, rows, view(dy), view(x), view(dx), sbora::training_step{1}, memory);
    seen.emplace_back();
    for (const auto* m : {&y, &dx}) {
      CHECK(m->memory().intact());
      const float unused = padding<float>();
      for (index_t at = 0; at < m->memory().size(); ++at) {
        if (at % m->stride() < m->cols()) seen.back().push_back(m->memory()[at]);
        else CHECK(std::memcmp(&m->memory()[at], &unused, sizeof unused) == 0);
      }
    }
    for (const auto* of : {&of_b, &of_a}) {
      CHECK(of->intact());
      seen.back().insert(seen.back().end(), of->data(), of->data() + of->size());
    }
    for (const float value : seen.back()) CHECK(std::isfinite(value));
  }
  CHECK(same_bits<float>(seen[0], seen[1]));
}

TEST_CASE("disabled adapters, frozen ones and tokens without one") {
  mixed_problem<float> p(20, 30, 9, 2, 0, 6);
  auto deltas = p.deltas();
  const std::vector<index_t> ids = {0, 1, -1, 2, 3, 0, -1, 2, 1};
  const adapter_rows rows(ids, 4);
  sbora::workspace memory;
  deltas[0].enabled = false;
  deltas[2] = {};  // of no layer at all: enabled is false
  deltas[1].gradient = nullptr;
  auto y = p.some_y();
  auto dx = p.some_dx();
  for (index_t id = 0; id < 4; ++id) p.visit(id, [](auto& a) { a.zero_gradient(); });
  mixed_forward(deltas, rows, activation(p.x), activation(y), memory);
  mixed_backward(deltas, rows, activation(p.dy), activation(p.x), activation(dx), sbora::training_step{}, memory);
  const auto y_before = p.some_y();
  const auto dx_before = p.some_dx();
  for (index_t t = 0; t < p.tokens; ++t) {
    const index_t id = ids[static_cast<std::size_t>(t)];
    const bool takes_part = id == 1 || id == 3;
    CHECK(!same_bits(rows_from(y, {t}).memory(), rows_from(y_before, {t}).memory()) == takes_part);
    CHECK(!same_bits(rows_from(dx, {t}).memory(), rows_from(dx_before, {t}).memory()) == takes_part);
  }
  for (index_t id = 0; id < 4; ++id) {
    p.visit(id, [&](auto& a) {
      const bool trained = std::any_of(a.gradient().begin(), a.gradient().end(), [](float g) { return g != 0; });
      CHECK(trained == (id == 3));
    });
  }
}

TEST_CASE("bfloat16 inputs") {
  mixed_problem<float> p(24, 32, 10, 3, 0, 9);
  Eigen::Matrix<Eigen::bfloat16, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> x(p.tokens, p.d_in);
  for (index_t t = 0; t < p.tokens; ++t) {
    for (index_t i = 0; i < p.d_in; ++i) {
      x(t, i) = Eigen::bfloat16(p.x(t, i));
      p.x(t, i) = static_cast<float>(x(t, i));
    }
  }
  const adapter_rows rows = rows_of(single_ids(p.tokens, p.count(), 4), p.count());
  sbora::workspace memory;
  auto y = p.some_y(), widened = p.some_y();
  mixed_forward(p.deltas(), rows, x, activation(y), memory);
  mixed_forward(p.deltas(), rows, activation(p.x), activation(widened), memory);
  CHECK(same_bits(y.memory(), widened.memory()));
}

TEST_CASE("what a batch may not be throws, and nothing is written") {
  const std::vector<index_t> ids = {0, 1, -1, 1};
  adapter_rows rows(ids, 2);
  const auto refused = [&](const auto& call, const std::string& text) {
    const std::string message = message_of<sbora::config_error>(call);
    CAPTURE(message);
    CHECK(message.find(text) != std::string::npos);
    CHECK(rows.tokens() == 4);
    CHECK(rows.groups().size() == 2);
  };
  const std::vector<index_t> high = {0, 2}, low = {0, -2};
  refused([&] { rows.assign(high, 2); }, "id 2 at position 1 is outside [0, 2)");
  refused([&] { rows.assign(low, 2); }, "id -2 at position 1");
  const std::vector<index_t> none, falling = {0, 3, 2, 4}, late = {1, 4}, early = {0, 3};
  refused([&] { rows.assign(ids, none, 2); }, "expected tokens + 1 numbers from 0 to 4");
  refused([&] { rows.assign(ids, falling, 2); }, "offsets fall from 3 to 2 at token 1");
  refused([&] { rows.assign(ids, late, 2); }, "offsets go from 1 to 4");
  refused([&] { rows.assign(ids, early, 2); }, "offsets go from 0 to 3");

  mixed_problem<float> p(20, 30, 4, 1, 0, 6), other(20, 31, 4, 1, 0, 6), longer(20, 30, 5, 1, 0, 6);
  sbora::workspace memory;
  auto y = p.some_y();
  auto dx = p.some_dx();
  const auto unchanged = [&](const auto& call, const std::string& text) {
    const std::string message = message_of<sbora::assertion_error>(call);
    CAPTURE(message);
    CHECK(message.find(text) != std::string::npos);
    CHECK(same_bits(y.memory(), p.some_y().memory()));
    CHECK(same_bits(dx.memory(), p.some_dx().memory()));
  };
  unchanged([&] { mixed_forward(other.deltas(), rows, activation(p.x), activation(y), memory); }, "another shape");
  unchanged([&] { mixed_forward(sbora::delta_list<float>(), rows, activation(p.x), activation(y), memory); },
            "another number of adapters: 2, now 0");
  auto longer_y = longer.some_y();
  unchanged([&] { mixed_forward(p.deltas(), rows, activation(longer.x), activation(longer_y), memory); },
            "another number of tokens: 4, now 5");
  unchanged(
      [&] {
        mixed_backward(p.deltas(), rows, activation(longer.dy), activation(p.x), activation(dx), sbora::training_step{},
                       memory);
      },
      "different numbers of tokens");
  std::vector<std::byte> little(64);
  sbora::workspace small{std::span<std::byte>(little)};
  CHECK_THROWS_AS(mixed_forward(p.deltas(), rows, activation(p.x), activation(y), small), sbora::workspace_error);
  CHECK(same_bits(y.memory(), p.some_y().memory()));
}
