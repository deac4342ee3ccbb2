// Results don't depend on the executor: a training step, merges and swaps give the same bits on all of
// them, and on a pool of the user's own. Under ThreadSanitizer this is the test of the layers' tasks.

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

/// Everything that a few training steps write, as one run of numbers.
template <adapter_kind Kind, class Scalar, class Executor>
std::vector<float> train(Executor& pool) {
  // Several tasks everywhere: rows (tokens), columns, narrow products, gathers, merges.
  layer_problem<Kind, Scalar> p(
      {.d_out = 301, .d_in = 290, .rank = 9, .tokens = 150, .padding = 1, .bias = true, .dropout = 0.3});
  const auto layer = p.layer();
  typename decltype(p)::adapter_type::saved_type saved;
  sbora::workspace memory;
  sbora::adamw<float> optimiser(p.adapter.parameter_count(), {.learning_rate = 0.01});
  auto y = p.empty_y();
  auto dx = p.empty_dx();
  std::vector<float> all;
  const auto keep = [&all](const auto& values) {
    for (const float value : values) all.push_back(value);
  };
  for (int step = 0; step < 2; ++step) {
    layer.forward(activation(p.x), activation(y), p.adapter, saved, memory, pool);
    p.adapter.zero_gradient();
    layer.backward(activation(p.dy), activation(dx), p.adapter, saved, memory, pool);
    keep(p.adapter.gradient());
    optimiser.step(p.adapter.parameters(), p.adapter.gradient(), {.learning_rate = 0.01}, pool);
    keep(y.memory());
    keep(dx.memory());
  }
  layer.forward(activation(p.x), activation(y), std::as_const(p.adapter), memory, pool);
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

/// `run(pool)` gives the same on every executor.
template <class Run>
void check_executors(Run&& run) {
  sbora::serial_executor serial;
  const auto expected = run(serial);
  using values = std::span<const typename std::remove_cvref_t<decltype(expected)>::value_type>;
  for (const int threads : {1, 2, 3, 8}) {
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

template <class Scalar>
void check_training() {
  check_executors([](auto& pool) { return train<adapter_kind::fa, Scalar>(pool); });
  check_executors([](auto& pool) { return train<adapter_kind::fb, Scalar>(pool); });
}

template <class Scalar>
void check_merging() {
  for (const sbora::storage order : both_orders) {
    merges<adapter_kind::fa, Scalar> fa(order);
    merges<adapter_kind::fb, Scalar> fb(order);
    check_executors([&](auto& pool) { return fa.run(pool); });
    check_executors([&](auto& pool) { return fb.run(pool); });
  }
}

}  // namespace

TEST_CASE("training on float weights gives the same bits on every executor") { check_training<float>(); }
TEST_CASE("merging into float weights gives the same bits on every executor") { check_merging<float>(); }
TEST_CASE("merging into bfloat16 weights gives the same bits on every executor") {
  check_merging<Eigen::bfloat16>();
}

TEST_CASE("layers may run on several threads at once, with a workspace each") {
  const layer_problem<adapter_kind::fa, float> p(
      {.d_out = 70, .d_in = 60, .rank = 5, .tokens = 20, .dropout = 0.2});
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
