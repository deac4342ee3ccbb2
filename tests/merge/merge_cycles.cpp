// 10,000 merges and unmerges in random order over 8 disjoint regions. After every one, all memory is
// what the merged set demands, whatever order it came in; at the end it is the original, bit for bit.

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
