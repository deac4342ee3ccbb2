// Results don't depend on the executor: a training step, merges and swaps give the same bits on all of
// them, and on a pool of the user's own. Under ThreadSanitizer this is the test of the layers' tasks.

#include <optional>

#include <sbora/quantized.hpp>
#include <sbora/sbora.hpp>

#include <sbora/executors/thread_pool.hpp>
#if defined(_OPENMP)
#include <sbora/executors/openmp.hpp>
#endif

#include "support/catch.hpp"
#include "support/layer_problem.hpp"
#include "support/merge_problem.hpp"

using namespace sbora_tests;
using sbora::adapter_kind;

namespace {

/// All that the library asks of a user's pool. Runs odd tasks first, backwards.
struct own_pool {
  template <class Function>
  void parallel_for(index_t n, Function f) {
    for (index_t i = n; i-- > 0;) {
      if (i % 2 == 1) f(i);
    }
    for (index_t i = n; i-- > 0;) {
      if (i % 2 == 0) f(i);
    }
  }
};
static_assert(sbora::executor<own_pool>);
static_assert(!sbora::executor<int>);

/// How a weight is kept: as numbers of a type, or as their codes.
template <class Scalar>
struct dense {
  using scalar = Scalar;
  template <adapter_kind Kind>
  static auto layer_of(const layer_problem<Kind, Scalar>& p) {
    return p.layer();
  }
};
template <class Quantised>
struct quantised {
  using scalar = float;
  std::optional<Quantised> codes;
  template <adapter_kind Kind>
  auto layer_of(const layer_problem<Kind, float>& p) {
    codes.emplace(p.layer().weight());
    return sbora::linear(codes->view(), std::span<const float>(p.bias));
  }
};

struct training {
  index_t tokens;
  double dropout;
};

/// Everything that a few training steps write, as one run of numbers.
template <adapter_kind Kind, class Weight, class Activation, class Executor>
std::vector<float> train(const training& how, Executor& pool) {
  using saved_type =
      std::conditional_t<Kind == adapter_kind::fa, sbora::fa_saved<float>, sbora::fb_saved<float, Activation>>;
  // Several tasks everywhere: rows (tokens), columns, narrow products, gathers, merges.
  layer_problem<Kind, typename Weight::scalar> p(
      {.d_out = 140, .d_in = 290, .rank = 9, .tokens = how.tokens, .padding = 1, .bias = true, .dropout = how.dropout});
  Weight weight;
  const auto layer = weight.layer_of(p);
  padded_matrix<Activation> x(how.tokens, 290, 1), dy(how.tokens, 140), y(how.tokens, 140, 2), dx(x);
  x.randomise(11);
  dy.randomise(12);
  saved_type saved;
  sbora::workspace memory;
  sbora::adamw<float> optimiser(p.adapter.parameter_count(), {.learning_rate = 0.01});
  std::vector<float> all;
  const auto keep = [&all](const auto& values) {
    for (const auto value : values) all.push_back(static_cast<float>(value));
  };
  for (int step = 0; step < 2; ++step) {
    layer.forward(activation(std::as_const(x)), activation(y), p.adapter, saved, memory, pool);
    p.adapter.zero_gradient();
    layer.backward(activation(std::as_const(dy)), activation(dx), p.adapter, saved, memory, pool);
    keep(p.adapter.gradient());
    optimiser.step(p.adapter.parameters(), p.adapter.gradient(), {.learning_rate = 0.01}, pool);
    keep(y.memory());
    keep(dx.memory());
  }
  layer.forward(activation(std::as_const(x)), activation(y), std::as_const(p.adapter), memory, pool);
  keep(y.memory());
  keep(p.adapter.parameters());
  return all;
}

template <adapter_kind Kind, class Scalar>
class merges {
 public:
  explicit merges(sbora::storage order) : p(301, 290, order) {}

  /// Memory after a merge and after a swap; leaves the original.
  template <class Executor>
  std::vector<Scalar> run(Executor& pool) {
    const index_t dim = Kind == adapter_kind::fa ? 290 : 301;
    const auto a = p.template adapter<Kind>(sbora::sample_region(dim, 33, 1), 2);
    const auto b = p.template adapter<Kind>(sbora::sample_region(dim, 40, 3), 4);
    sbora::merger<Scalar> merger(p.view());
    std::vector<Scalar> all;
    const auto keep = [&] { all.insert(all.end(), p.weight.memory().begin(), p.weight.memory().end()); };
    merger.merge(a, pool);
    keep();
    merger.swap(a, b, pool);
    keep();
    merger.unmerge(b, pool);
    merger.merge(a, pool);
    merger.unmerge_all(pool);
    CHECK(p.weight_is_original());
    return all;
  }

 private:
  merge_problem<Scalar> p;
};

constexpr std::initializer_list<int> few = {2, 5}, all_counts = {1, 2, 3, 4, 5, 6, 7, 8};

/// `run(pool)` gives the same on every executor with each number of threads.
template <class Run>
void check_executors(std::initializer_list<int> counts, Run&& run) {
  sbora::serial_executor serial;
  const auto expected = run(serial);
  using values = std::span<const typename std::remove_cvref_t<decltype(expected)>::value_type>;
  for (const int threads : counts) {
    CAPTURE(threads);
    sbora::thread_pool pool(threads);
    CHECK(same_bits(values(run(pool)), values(expected)));
#if defined(_OPENMP)
    sbora::openmp_executor team(threads);
    CHECK(same_bits(values(run(team)), values(expected)));
#endif
  }
  own_pool own;
  CHECK(same_bits(values(run(own)), values(expected)));
}

/// Streamed (by as few tokens as are worth sharing out), packed with ΔW, and with dropout as two products.
/// `counts_streamed` are the threads of the first, which takes a twentieth of the others' time.
template <class Weight, class Activation>
void check_training(std::initializer_list<int> counts_streamed = few) {
  for (const training& how : {training{7, 0}, {150, 0}, {150, 0.3}}) {
    CAPTURE(how.tokens, how.dropout);
    const auto counts = how.tokens < 100 ? counts_streamed : few;
    check_executors(counts, [&](auto& pool) { return train<adapter_kind::fa, Weight, Activation>(how, pool); });
    check_executors(counts, [&](auto& pool) { return train<adapter_kind::fb, Weight, Activation>(how, pool); });
  }
}

template <class Scalar>
void check_merging() {
  for (const sbora::storage order : both_orders) {
    merges<adapter_kind::fa, Scalar> fa(order);
    merges<adapter_kind::fb, Scalar> fb(order);
    check_executors(all_counts, [&](auto& pool) { return fa.run(pool); });
    check_executors(all_counts, [&](auto& pool) { return fb.run(pool); });
  }
}

}  // namespace

TEST_CASE("training on float weights gives the same bits on every executor") {
  check_training<dense<float>, float>(all_counts);
}
TEST_CASE("training on bfloat16 weights gives the same bits on every executor") {
  check_training<dense<Eigen::bfloat16>, float>();
  check_training<dense<Eigen::bfloat16>, Eigen::bfloat16>();
}
TEST_CASE("training on quantised weights gives the same bits on every executor") {
  check_training<quantised<sbora::four_bit_weight>, float>();
  check_training<quantised<sbora::int8_weight>, Eigen::bfloat16>();
}
TEST_CASE("merging into float weights gives the same bits on every executor") { check_merging<float>(); }
TEST_CASE("merging into bfloat16 weights gives the same bits on every executor") { check_merging<Eigen::bfloat16>(); }

TEST_CASE("layers may run on several threads at once, with a workspace each") {
  const layer_problem<adapter_kind::fa, float> p({.d_out = 70, .d_in = 60, .rank = 5, .tokens = 20, .dropout = 0.2});
  const auto layer = p.layer();
  auto expected = p.empty_y();
  sbora::workspace memory;
  layer.forward(activation(p.x), activation(expected), p.adapter, memory);
  std::vector<padded_matrix<float>> results(8, p.empty_y());
  sbora::thread_pool pool(4);
  pool.parallel_for(8, [&](index_t i) {
    sbora::workspace own;
    layer.forward(activation(p.x), activation(results[static_cast<std::size_t>(i)]), p.adapter, own);
  });
  for (const auto& y : results) CHECK(same_bits(y.memory(), expected.memory()));
}

TEST_CASE("a temporary executor is fine") {
  const layer_problem<adapter_kind::fb, float> p({});
  auto y = p.empty_y(), expected = p.empty_y();
  sbora::workspace memory;
  p.layer().forward(activation(p.x), activation(expected), p.adapter, memory);
  p.layer().forward(activation(p.x), activation(y), p.adapter, memory, own_pool{});
  CHECK(same_bits(y.memory(), expected.memory()));
}
