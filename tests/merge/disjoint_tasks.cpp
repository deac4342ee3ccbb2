// Tasks on disjoint regions, merged beside NF4 codes: the order never changes a bit, and what was taken out was never
// there. Of dense weights, in memory and in files, tests/io/ledger has the same.

#include <sbora/quantized.hpp>
#include <sbora/sbora.hpp>

#include <sbora/merge/export_merged.hpp>

#include <algorithm>

#include "support/catch.hpp"
#include "support/matrices.hpp"

using namespace sbora_tests;
using sbora::adapter_kind;

namespace {

constexpr index_t d_out = 48, d_in = 64, tokens = 20;
using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// Four tasks over one NF4 weight, and what it computes with some of them merged.
template <adapter_kind Kind>
struct four_tasks {
  sbora::four_bit_weight weight;
  std::vector<sbora::basic_adapter<Kind, float>> tasks;
  matrix x = matrix::Random(tokens, d_in), dy = matrix::Random(tokens, d_out);

  four_tasks() : weight(codes()) {
    const auto regions = sbora::partition_regions(Kind == adapter_kind::fa ? d_in : d_out, {3, 8, 5, 10}, 1);
    for (std::size_t i = 0; i < 4; ++i) {
      tasks.emplace_back(d_out, d_in, regions[i]);
      fill_random(tasks.back().parameters(), i);
    }
  }
  static sbora::four_bit_weight codes() {
    const auto values = random_vector<float>(d_out * d_in, 9);
    return sbora::four_bit_weight(sbora::weight_view<const float>(values.data(), d_out, d_in));
  }

  /// y, dx and the merged weight as floats, in one.
  std::vector<float> results(const sbora::overlay<float>& merged) const {
    sbora::linear layer{weight.view()};
    layer.set_overlay(&merged.deltas());
    layer.set_delta_path(sbora::delta_path::on_pack);
    matrix y(tokens, d_out), dx(tokens, d_in), exported(d_out, d_in);
    sbora::workspace memory;
    layer.forward(x, y, memory);
    layer.backward(dy, dx, memory);
    export_merged(weight.view(), merged.deltas(), sbora::weight_view{exported});
    std::vector<float> all;
    for (const matrix* part : {&y, &dx, &exported}) all.insert(all.end(), part->data(), part->data() + part->size());
    return all;
  }
};

template <adapter_kind Kind>
void check_orders() {
  const four_tasks<Kind> of;
  std::vector<std::vector<float>> subsets;
  for (unsigned subset = 0; subset < 16; ++subset) {
    sbora::overlay<float> merged(d_out, d_in);
    for (std::size_t i = 0; i < 4; ++i) {
      if ((subset >> i & 1U) != 0) merged.merge(of.tasks[i]);
    }
    subsets.push_back(of.results(merged));
  }
  std::vector<std::size_t> order = {0, 1, 2, 3};
  do {
    sbora::overlay<float> merged(d_out, d_in);
    for (const std::size_t i : order) merged.merge(of.tasks[i]);
    CHECK(same_bits<float>(of.results(merged), subsets[15]));
  } while (std::next_permutation(order.begin(), order.end()));
  sbora::random_stream random(2);
  sbora::overlay<float> merged(d_out, d_in);
  unsigned now = 0;
  for (int sequence = 0; sequence < 1000; ++sequence) {
    const auto i = static_cast<std::size_t>(random.below(4));
    (now >> i & 1U) != 0 ? merged.unmerge(of.tasks[i]) : merged.merge(of.tasks[i]);
    now ^= 1U << i;
    CHECK(same_bits<float>(of.results(merged), subsets[now]));
  }
}

}  // namespace

TEST_CASE("four tasks beside NF4 codes: all 24 orders and 1,000 merges and removals in a row") {
  check_orders<adapter_kind::fa>();
  check_orders<adapter_kind::fb>();
}
