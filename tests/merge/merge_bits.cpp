// What one merge writes, bit for bit, and that a swap is an unmerge and a merge.

#include "support/catch.hpp"
#include "support/merge_problem.hpp"

using namespace sbora_tests;
using sbora::adapter_kind;
using sbora::region;

namespace {

template <adapter_kind Kind, class Scalar>
void check_merge(index_t d_out, index_t d_in, index_t rank, sbora::storage order) {
  CAPTURE(Kind == adapter_kind::fa, d_out, d_in, rank, order == sbora::storage::out_by_in);
  merge_problem<Scalar> p(d_out, d_in, order);
  const auto a = p.template adapter<Kind>(sbora::sample_region(Kind == adapter_kind::fa ? d_in : d_out, rank, 3), 4);
  padded_matrix<Scalar> expected = p.original;
  p.merge_into(expected, a);
  sbora::merger<Scalar> merger(p.view());
  for (int i = 0; i < 2; ++i) {
    merger.merge(a);
    CHECK(p.weight_is(expected));
    merger.unmerge(a);
    CHECK(p.weight_is_original());
  }
}

/// a is merged, then swapped for b, beside one that stays. Kinds may differ where nothing stays.
template <class Scalar, adapter_kind KindA, adapter_kind KindB>
void check_swap(sbora::storage order, const std::vector<index_t>& from, const std::vector<index_t>& to) {
  constexpr bool same_kind = KindA == KindB;
  CAPTURE(KindA == adapter_kind::fa, KindB == adapter_kind::fa, order == sbora::storage::out_by_in);
  merge_problem<Scalar> p(70, 70, order);
  const auto a = p.template adapter<KindA>(region(70, from), 4);
  const auto b = p.template adapter<KindB>(region(70, to), 5);
  const auto stays = p.template adapter<KindB>(region(70, {69, 60, 68}), 6);
  sbora::merger<Scalar> merger(p.view());
  padded_matrix<Scalar> expected = p.original;
  if (same_kind) {
    p.merge_into(expected, stays);
    merger.merge(stays);
  }
  const padded_matrix<Scalar> before = expected;
  p.merge_into(expected, b);

  merger.merge(a);
  merger.swap(a, b);
  CHECK(p.weight_is(expected));
  CHECK(merger.is_merged(b));
  CHECK(merger.merged_count() == (same_kind ? 2 : 1));
  merger.swap(b, a);  // back, and there again
  merger.swap(a, b);
  CHECK(p.weight_is(expected));
  merger.unmerge(b);
  CHECK(p.weight_is(before));
  merger.unmerge_all();
  CHECK(p.weight_is_original());
}

template <class Scalar>
void check_swaps() {
  constexpr auto fa = adapter_kind::fa, fb = adapter_kind::fb;
  const std::vector<index_t> three = {7, 2, 50};
  for (const sbora::storage order : both_orders) {
    for (const std::vector<index_t>& to : {three, {2, 50, 7}, {1, 4, 9, 11}, {50, 3, 7}, {7}, {9, 2, 7, 50, 0, 1}}) {
      CAPTURE(to);
      check_swap<Scalar, fa, fa>(order, three, to);
      check_swap<Scalar, fb, fb>(order, three, to);
      check_swap<Scalar, fa, fb>(order, three, to);
      check_swap<Scalar, fb, fa>(order, three, to);
    }
  }
}

}  // namespace

TEMPLATE_TEST_CASE("a merge is w + round(s·b) on the region and nothing elsewhere", "", float, double, Eigen::bfloat16,
                   Eigen::half) {
  struct sizes {
    index_t d_out, d_in, rank;
  };
  // Around chunks of 64, tasks of 64 and 512 lines and of 8 positions, and vectors.
  for (const auto [d_out, d_in, rank] :
       {sizes{1, 1, 1}, sizes{5, 9, 1}, sizes{67, 31, 7}, sizes{64, 64, 8}, sizes{130, 131, 65}, sizes{70, 70, 70},
        sizes{515, 20, 9}, sizes{19, 530, 17}}) {
    for (const sbora::storage order : both_orders) {
      check_merge<adapter_kind::fa, TestType>(d_out, d_in, rank, order);
      if (rank <= d_out) check_merge<adapter_kind::fb, TestType>(d_out, d_in, rank, order);
    }
  }
}

TEMPLATE_TEST_CASE("a swap is an unmerge and a merge", "", float, double, Eigen::bfloat16, Eigen::half) {
  check_swaps<TestType>();
}

TEST_CASE("a merge takes the multiplier, and disabled adapters too") {
  merge_problem<float> p(20, 30, sbora::storage::out_by_in);
  auto a = p.adapter<adapter_kind::fa>(sbora::sample_region(30, 4, 1), 2);
  a.set_multiplier(-0.3);
  a.set_enabled(false);
  padded_matrix<float> expected = p.original;
  p.merge_into(expected, a);
  sbora::merger<float> merger(p.view());
  merger.merge(a);
  CHECK(p.weight_is(expected));
}

TEST_CASE("ties and subnormals of 16-bit weights round to even") {
  // bfloat16 has 8 significant bits: 1 + 2^-8 is a tie, as is 1 + 3·2^-8.
  Eigen::bfloat16 weight[4] = {Eigen::bfloat16(1), Eigen::bfloat16(1), Eigen::bfloat16(-1), Eigen::bfloat16(1)};
  std::vector<float> trained = {0x1p-8F, 0x3p-8F, -0x1p-8F, 0x1.0002p-8F}, gradient(4);
  const sbora::fa_adapter<float> a(4, 1, region(1, {0}), {.alpha = 1}, trained, gradient);
  sbora::merger merger{sbora::weight_view(weight, 4, 1)};
  merger.merge(a);
  CHECK(static_cast<float>(weight[0]) == 1);
  CHECK(static_cast<float>(weight[1]) == 1.015625F);
  CHECK(static_cast<float>(weight[2]) == -1);
  CHECK(static_cast<float>(weight[3]) == 1.0078125F);

  Eigen::half halves[2] = {Eigen::half(0x1p-24F), Eigen::half(0x1p-24F)};
  std::vector<float> small = {0x1p-25F, 0x1.8p-24F};
  const sbora::fb_adapter<float> b(1, 2, region(1, {0}), {.alpha = 1}, small, {});
  sbora::merger half_merger{sbora::weight_view(halves, 1, 2)};
  half_merger.merge(b);
  CHECK(static_cast<float>(halves[0]) == 0x2p-24F);  // 1.5 steps are a tie, to even
  CHECK(static_cast<float>(halves[1]) == 0x2p-24F);  // 2.5 steps too
}

TEST_CASE("negative zeros come back") {
  float weight[2] = {-0.0F, 0.0F};
  const float original[2] = {-0.0F, 0.0F};
  const sbora::fa_adapter<float> zero(2, 1, region(1, {0}));
  sbora::merger merger{sbora::weight_view(weight, 2, 1)};
  merger.merge(zero);
  merger.unmerge(zero);
  CHECK(std::memcmp(weight, original, sizeof weight) == 0);
}
