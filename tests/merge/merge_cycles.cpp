// 10,000 merges and unmerges in random order over 8 disjoint regions. After every one, all memory is
// what the merged set demands, whatever order it came in; at the end it is the original, bit for bit.

#include <functional>
#include <memory>

#include "support/catch.hpp"
#include "support/merge_problem.hpp"

using namespace sbora_tests;
using sbora::adapter_kind;

namespace {

template <adapter_kind Kind, class Scalar>
void check_cycles(sbora::storage order) {
  CAPTURE(Kind == adapter_kind::fa, order == sbora::storage::out_by_in);
  merge_problem<Scalar> p(67, 83, order);
  const std::vector<index_t> ranks = {1, 2, 3, 5, 8, 8, 13, 16};
  const index_t dim = Kind == adapter_kind::fa ? p.d_in : p.d_out;
  std::vector<decltype(p.template adapter<Kind>(std::declval<sbora::region>(), 0))> adapters;
  for (const sbora::region& target : sbora::partition_regions(dim, ranks, 5)) {
    adapters.push_back(p.template adapter<Kind>(target, 100 + adapters.size()));
  }

  // Regions are disjoint: each element is the original or the merge of the one adapter that owns it.
  padded_matrix<Scalar> all_merged = p.original;
  for (const auto& a : adapters) p.merge_into(all_merged, a);
  padded_matrix<Scalar> expected = p.original;
  const auto expect = [&](const auto& a, padded_matrix<Scalar>& from) {
    for (const index_t index : a.target().indices()) {
      for (index_t line = 0; line < (Kind == adapter_kind::fa ? p.d_out : p.d_in); ++line) {
        const index_t out = Kind == adapter_kind::fa ? line : index;
        const index_t in = Kind == adapter_kind::fa ? index : line;
        p.at(expected, out, in) = p.at(from, out, in);
      }
    }
  };

  sbora::merger<Scalar> merger(p.view());
  sbora::random_stream random(23);
  std::vector<bool> merged(adapters.size(), false);
  int wrong = 0;
  for (int cycle = 0; cycle < 10000; ++cycle) {
    const auto i = static_cast<std::size_t>(random.below(8));
    if (merged[i]) {
      merger.unmerge(adapters[i]);
    } else {
      merger.merge(adapters[i]);
    }
    expect(adapters[i], merged[i] ? p.original : all_merged);
    merged[i] = !merged[i];
    wrong += !p.weight_is(expected);
  }
  CHECK(wrong == 0);
  for (std::size_t i = 0; i < 8; ++i) {
    CHECK(merger.is_merged(adapters[i]) == merged[i]);
    if (merged[i]) merger.unmerge(adapters[i]);
  }
  CHECK(merger.merged_count() == 0);
  CHECK(p.weight_is_original());
}

}  // namespace

TEMPLATE_TEST_CASE("10,000 cycles of merge and unmerge leave no trace", "", float, double, Eigen::bfloat16,
                   Eigen::half) {
  for (const sbora::storage order : both_orders) {
    check_cycles<adapter_kind::fa, TestType>(order);
    check_cycles<adapter_kind::fb, TestType>(order);
  }
}

namespace {

/// Adapters that are merged into views of one memory and taken out again, in any order; each has elements of its own.
class shared_memory {
 public:
  template <class Scalar, class Adapter>
  void add(sbora::weight_view<Scalar> part, std::vector<Adapter> alternatives) {
    auto into = std::make_shared<sbora::merger<Scalar>>(part);
    auto all = std::make_shared<const std::vector<Adapter>>(std::move(alternatives));
    steps_.push_back([into, all, merged = std::size_t{0}](sbora::random_stream& random, bool all_out) mutable {
      const auto next = all_out ? 0 : static_cast<std::size_t>(random.below(std::ssize(*all) + 1));  // 0: none
      if (next == merged) return;
      if (next == 0) into->unmerge((*all)[merged - 1]);
      else if (merged == 0) into->merge((*all)[next - 1]);
      else into->swap((*all)[merged - 1], (*all)[next - 1]);
      merged = next;
    });
  }
  void step(sbora::random_stream& random) {
    steps_[static_cast<std::size_t>(random.below(std::ssize(steps_)))](random, false);
  }
  void take_all_out(sbora::random_stream& random) {
    for (const auto& step : steps_) step(random, true);
  }

 private:
  std::vector<std::function<void(sbora::random_stream&, bool)>> steps_;
};

template <adapter_kind Kind, class T>
std::vector<sbora::basic_adapter<Kind, T>> some_adapters(index_t d_out, index_t d_in, std::uint64_t seed) {
  std::vector<sbora::basic_adapter<Kind, T>> all;
  for (std::uint64_t i = 0; i < 3; ++i) {
    const index_t dim = Kind == adapter_kind::fa ? d_in : d_out;
    all.emplace_back(d_out, d_in, sbora::sample_region(dim, 2 + static_cast<index_t>(i), seed + i));
    fill_random(all.back().parameters(), seed + i + 10);
  }
  return all;
}

/// 1,000 sequences of merges, swaps and unmerges over memory that some views share.
template <class Scalar, class Fill>
void check_shared(index_t rows, index_t cols, const Fill& fill) {
  padded_matrix<Scalar> memory(rows, cols, 3);
  memory.randomise(31);
  const padded_matrix<Scalar> original = memory;
  shared_memory views;
  fill(views, memory);
  sbora::random_stream random(37);
  int wrong = 0, changed = 0;
  for (int sequence = 0; sequence < 1000; ++sequence) {
    for (index_t length = 1 + random.below(8); length > 0; --length) views.step(random);
    changed += !same_bits(memory.memory(), original.memory());
    views.take_all_out(random);
    wrong += !same_bits(memory.memory(), original.memory());
  }
  CHECK(wrong == 0);
  CHECK(changed > 500);
}

}  // namespace

TEMPLATE_TEST_CASE("1,000 sequences over fused, stacked and tied weights leave every byte", "", float, double,
                   Eigen::bfloat16, Eigen::half) {
  using T = typename sbora::weight_view<TestType>::compute_scalar;
  using enum sbora::storage;
  constexpr auto fa = adapter_kind::fa, fb = adapter_kind::fb;
  const auto view_of = [](padded_matrix<TestType>& m, sbora::storage order) {
    const bool straight = order == out_by_in;
    return sbora::weight_view<TestType>(m.data(), straight ? m.rows() : m.cols(), straight ? m.cols() : m.rows(),
                                        m.stride(), order);
  };
  for (const sbora::storage order : both_orders) {
    const bool straight = order == out_by_in;
    check_shared<TestType>(straight ? 40 : 21, straight ? 21 : 40, [&](shared_memory& views, auto& memory) {  // q, k, v
      const auto whole = view_of(memory, order);
      views.add(rows_of(whole, {0, 20}), some_adapters<fa, T>(20, 21, 1));
      views.add(rows_of(whole, {20, 30}), some_adapters<fb, T>(10, 21, 2));
      views.add(rows_of(whole, {30, 40}), some_adapters<fa, T>(10, 21, 3));
    });
    check_shared<
        TestType>(straight ? 60 : 68, straight ? 17 : 15, [&](shared_memory& views, auto& memory) {  // 4 experts
      const auto whole = view_of(memory, order);
      for (index_t e = 0; e < 4; ++e) {
        const auto expert = straight ? rows_of(whole, {15 * e, 15 * e + 15}) : columns_of(whole, {17 * e, 17 * e + 17});
        if (e % 2 == 0) views.add(expert, some_adapters<fa, T>(15, 17, 4));
        else views.add(expert, some_adapters<fb, T>(15, 17, 5));
      }
    });
    // A table that is the head, too: new tokens' rows, by views of both orders on the one memory.
    check_shared<TestType>(50, 16, [&](shared_memory& views, auto& memory) {
      const auto table = view_of(memory, out_by_in);
      const sbora::weight_view<TestType> turned(memory.data(), 16, 50, memory.stride(), in_by_out);
      views.add(rows_of(table, {0, 30}), some_adapters<fb, T>(30, 16, 6));
      views.add(columns_of(turned, {30, 50}), some_adapters<fa, T>(16, 20, 7));
    });
  }
}
