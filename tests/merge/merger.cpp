// What a merger knows and what it refuses; a refused call leaves every bit as it was.

#include "support/merge_problem.hpp"
#include "support/message.hpp"

using namespace sbora_tests;
using sbora::adapter_kind;
using sbora::merge_error;
using sbora::not_finite_error;
using sbora::region;
using sbora::shape_error;

namespace {

constexpr auto fa = adapter_kind::fa, fb = adapter_kind::fb;

struct small : merge_problem<float> {
  small() : merge_problem<float>(20, 20, sbora::storage::out_by_in), merger(view()) {}
  sbora::merger<float> merger;
};

/// Row and column of the not_finite_error that f throws; {-1, -1} without one.
template <class Function>
std::pair<index_t, index_t> fault_of(Function&& f) {
  try {
    f();
  } catch (const not_finite_error& e) {
    const std::string position = "row " + std::to_string(e.row()) + ", column " + std::to_string(e.col()) + " ";
    CHECK_THAT(e.what(), contains(position));
    return {e.row(), e.col()};
  }
  return {-1, -1};
}

using position = std::pair<index_t, index_t>;

template <adapter_kind Kind, class Scalar>
void check_not_finite(sbora::storage order, float bad) {
  CAPTURE(Kind == fa, order == sbora::storage::out_by_in, bad);
  merge_problem<Scalar> p(70, 75, order);
  const region target(Kind == fa ? 75 : 70, {66, 3, 40});
  auto a = p.template adapter<Kind>(target, 1);
  auto good = p.template adapter<Kind>(region(target.dim(), {5, 66}), 2);
  sbora::merger<Scalar> merger(p.view());
  using T = typename merge_problem<Scalar>::T;

  // Line 69 of position 1, that is of index 3.
  (Kind == fa ? a.matrix()(69, 1) : a.matrix()(1, 69)) = static_cast<T>(bad);
  const position expected = Kind == fa ? position{69, 3} : position{3, 69};
  CHECK(fault_of([&] { merger.merge(a); }) == expected);
  CHECK(p.weight_is_original());
  CHECK(merger.merged_count() == 0);

  merger.merge(good);
  const padded_matrix<Scalar> merged = p.weight;
  CHECK(fault_of([&] { merger.swap(good, a); }) == expected);
  CHECK(p.weight_is(merged));
  CHECK(merger.is_merged(good));
  merger.unmerge(good);
  CHECK(p.weight_is_original());

  (Kind == fa ? a.matrix()(69, 1) : a.matrix()(1, 69)) = T{1};
  (Kind == fa ? p.at(p.weight, 68, 40) : p.at(p.weight, 40, 68)) = static_cast<Scalar>(bad);
  const padded_matrix<Scalar> with_bad_weight = p.weight;
  CHECK(fault_of([&] { merger.merge(a); }) == (Kind == fa ? position{68, 40} : position{40, 68}));
  CHECK(p.weight_is(with_bad_weight));
  merger.merge(good);  // what isn't in the region isn't looked at
  merger.unmerge(good);
  CHECK(p.weight_is(with_bad_weight));
}

/// Of one of its calls it does every other task.
struct call_that_fails {
  int left;
  template <class Function>
  void parallel_for(index_t n, Function&& f) {
    const bool fails = --left == 0;
    for (index_t i = 0; i < n; i += fails ? 2 : 1) f(i);
    if (fails) throw std::runtime_error("out of threads");
  }
};

struct failing_executor {
  template <class Function>
  void parallel_for(index_t count, Function&& f) const {
    REQUIRE(count > 2);
    f(0);
    f(2);
    throw std::runtime_error("out of threads");
  }
};

}  // namespace

TEST_CASE("a merger knows what is merged, by region and kind") {
  small p;
  const auto a = p.adapter<fa>(region(20, {3, 9}), 1), b = p.adapter<fa>(region(20, {4, 10, 0}), 2);
  CHECK(p.merger.merged_count() == 0);
  CHECK_FALSE(p.merger.is_merged(a));
  p.merger.merge(a);
  p.merger.merge(b);
  CHECK(p.merger.merged_count() == 2);
  CHECK(p.merger.is_merged(a));
  CHECK(p.merger.is_merged(a.clone()));
  CHECK_FALSE(p.merger.is_merged(p.adapter<fb>(region(20, {3, 9}), 1)));
  CHECK(p.merger.weight().data() == p.weight.data());
  p.merger.unmerge(a.clone());
  CHECK_FALSE(p.merger.is_merged(a));
  p.merger.merge(a);
  p.merger.unmerge_all();
  CHECK(p.merger.merged_count() == 0);
  CHECK(p.weight_is_original());
  p.merger.unmerge_all();
  CHECK(p.weight_is_original());
}

TEST_CASE("training after a merge doesn't disturb the unmerge") {
  small p;
  auto a = p.adapter<fa>(region(20, {3, 9}), 1);
  p.merger.merge(a);
  fill_random(a.parameters(), 99);
  p.merger.unmerge(a);
  CHECK(p.weight_is_original());
}

TEST_CASE("scoped_merge unmerges when it ends, also by an exception") {
  small p;
  const auto a = p.adapter<fa>(region(20, {3, 9}), 1);
  {
    const sbora::scoped_merge guard(p.merger, a);
    CHECK(p.merger.is_merged(a));
    CHECK_FALSE(p.weight_is_original());
  }
  CHECK(p.weight_is_original());
  try {
    const sbora::scoped_merge guard(p.merger, a);
    throw 1;
  } catch (int) {
  }
  CHECK(p.weight_is_original());
  {
    const sbora::scoped_merge guard(p.merger, a);
    p.merger.unmerge(a);  // by hand is fine
  }
  CHECK(p.weight_is_original());
  p.merger.merge(a);
  CHECK_THROWS_AS(sbora::scoped_merge(p.merger, a), merge_error);
  CHECK(p.merger.is_merged(a));  // the guard that failed owns nothing
}

TEST_CASE("merging twice is refused") {
  small p;
  const auto a = p.adapter<fa>(region(20, {3, 9}), 1);
  p.merger.merge(a);
  const padded_matrix<float> merged = p.weight;
  CHECK_ERROR(merge_error, "an adapter on this region is merged already", p.merger.merge(a));
  CHECK_ERROR(merge_error, "merged already", p.merger.merge(p.adapter<fa>(region(20, {3, 9}), 2)));
  CHECK(p.weight_is(merged));
  p.merger.unmerge(a);
  CHECK(p.weight_is_original());
}

TEST_CASE("unmerging what isn't merged is refused") {
  small p;
  const auto a = p.adapter<fa>(region(20, {3, 9}), 1), b = p.adapter<fa>(region(20, {4}), 2);
  CHECK_ERROR(merge_error, "no adapter on this region is merged, 0 on others are", p.merger.unmerge(a));
  p.merger.merge(a);
  const padded_matrix<float> merged = p.weight;
  CHECK_ERROR(merge_error, "1 on others are", p.merger.unmerge(b));
  CHECK_ERROR(merge_error, "no adapter on this region", p.merger.unmerge(p.adapter<fb>(region(20, {3, 9}), 1)));
  CHECK_ERROR(merge_error, "no adapter on this region", p.merger.swap(b, b));
  CHECK(p.weight_is(merged));
  p.merger.unmerge(a);
  CHECK_ERROR(merge_error, "no adapter on this region", p.merger.unmerge(a));
  CHECK(p.weight_is_original());
}

TEST_CASE("overlapping regions are refused by the index that they share") {
  small p;
  const auto a = p.adapter<fa>(region(20, {3, 9, 12}), 1), b = p.adapter<fa>(region(20, {4}), 2);
  const auto one = p.adapter<fa>(region(20, {0, 9}), 3), two = p.adapter<fa>(region(20, {12, 0, 9}), 4);
  p.merger.merge(a);
  p.merger.merge(b);
  const padded_matrix<float> merged = p.weight;
  CHECK_ERROR(merge_error, "the region shares 1 index with one that is merged, the first is 9", p.merger.merge(one));
  CHECK_ERROR(merge_error, "the region shares 2 indices with one that is merged, the first is 9", p.merger.merge(two));
  CHECK_ERROR(merge_error, "shares 3 indices", p.merger.merge(p.adapter<fa>(region(20, {9, 3, 12}), 5)));
  CHECK_ERROR(merge_error, "shares 1 index", p.merger.swap(b, one));  // with a, which stays
  CHECK_ERROR(merge_error, "merged already", p.merger.swap(b, a));
  CHECK(p.weight_is(merged));
  CHECK(p.merger.merged_count() == 2);
  p.merger.unmerge_all();
  CHECK(p.weight_is_original());
}

TEST_CASE("the other kind is refused, since columns cross rows") {
  small p;
  const auto a = p.adapter<fa>(region(20, {3}), 1), c = p.adapter<fa>(region(20, {8}), 3);
  const auto b = p.adapter<fb>(region(20, {4}), 2);
  p.merger.merge(a);
  CHECK_ERROR(merge_error, "an adapter of the other kind is merged", p.merger.merge(b));
  p.merger.merge(c);
  const padded_matrix<float> merged = p.weight;
  CHECK_ERROR(merge_error, "other kind", p.merger.swap(a, b));  // c stays
  CHECK(p.weight_is(merged));
  p.merger.unmerge_all();
  p.merger.merge(b);
  CHECK_ERROR(merge_error, "other kind", p.merger.merge(a));
  p.merger.unmerge(b);
  CHECK(p.weight_is_original());
}

TEST_CASE("an adapter for another shape is refused by both shapes") {
  small p;
  const auto a = p.adapter<fa>(region(20, {3}), 1);
  const sbora::fa_adapter<float> other(21, 20, region(20, {3})), wide(20, 22, region(22, {3}));
  const std::string message = "the adapter is for a weight of 21 x 20, the weight is 20 x 20";
  CHECK_ERROR(shape_error, message, p.merger.merge(other));
  CHECK_ERROR(shape_error, message, p.merger.unmerge(other));
  CHECK_ERROR(shape_error, "20 x 22", p.merger.merge(wide));
  p.merger.merge(a);
  const padded_matrix<float> merged = p.weight;
  CHECK_ERROR(shape_error, message, p.merger.swap(a, other));
  CHECK_ERROR(shape_error, message, p.merger.swap(other, a));
  CHECK(p.weight_is(merged));
}

TEMPLATE_TEST_CASE("NaN and infinities are found and leave the weight as it was", "", float, double, Eigen::bfloat16,
                   Eigen::half) {
  const float inf = std::numeric_limits<float>::infinity();
  for (const sbora::storage order : both_orders) {
    for (const float bad : {std::numeric_limits<float>::quiet_NaN(), inf, -inf}) {
      check_not_finite<fa, TestType>(order, bad);
      check_not_finite<fb, TestType>(order, bad);
    }
  }
}

TEST_CASE("an executor that fails during a merge leaves the weight as it was") {
  merge_problem<float> p(200, 90, sbora::storage::out_by_in);
  sbora::merger merger(p.view());
  const auto columns = p.adapter<fa>(region(90, {5, 66}), 1);
  const auto rows = p.adapter<fb>(sbora::sample_region(200, 40, 2), 1);
  CHECK_ERROR(std::runtime_error, "out of threads", merger.merge(columns, failing_executor{}));
  CHECK(p.weight_is_original());
  CHECK_ERROR(std::runtime_error, "out of threads", merger.merge(rows, failing_executor{}));
  CHECK(p.weight_is_original());
  CHECK(merger.merged_count() == 0);
  merger.merge(columns);
  CHECK(!p.weight_is_original());
  merger.unmerge(columns);
  CHECK(p.weight_is_original());
}

TEST_CASE("an executor that fails while all are unmerged leaves those that still are") {
  merge_problem<float> p(200, 90, sbora::storage::out_by_in);
  sbora::merger merger(p.view());
  const auto first = p.adapter<fa>(region(90, {5, 66}), 1), second = p.adapter<fa>(region(90, {7, 8, 9}), 2);
  merger.merge(first);
  merger.merge(second);
  call_that_fails pool{2};
  CHECK_ERROR(std::runtime_error, "out of threads", merger.unmerge_all(pool));
  CHECK(merger.merged_count() == 1);
  CHECK(merger.is_merged(first));
  merger.unmerge_all();
  CHECK(merger.merged_count() == 0);
  CHECK(p.weight_is_original());
}

TEST_CASE("an executor that fails during a swap leaves what was merged before") {
  for (const sbora::storage order : both_orders) {
    for (int call = 1; call <= 5; ++call) {
      CAPTURE(order == sbora::storage::out_by_in, call);
      merge_problem<float> p(200, 150, order);
      sbora::merger merger(p.view());
      const auto old = p.adapter<fa>(sbora::sample_region(150, 40, 1), 1);
      const auto other = p.adapter<fa>(sbora::sample_region(150, 30, 2), 2), same = p.adapter<fa>(old.target(), 3);
      const auto rows = p.adapter<fb>(sbora::sample_region(200, 40, 3), 4);
      merger.merge(old);
      const padded_matrix<float> merged = p.weight;
      int failures = 0;
      const auto swap = [&](const auto& in) {
        try {
          merger.swap(old, in, call_that_fails{call});
          merger.swap(in, old);
        } catch (const std::runtime_error&) {
          ++failures;
        }
        CHECK(merger.merged_count() == 1);
        CHECK(merger.is_merged(old));
        CHECK(p.weight_is(merged));
      };
      swap(other);
      swap(same);
      swap(rows);
      CHECK((failures > 0) == (call < 5));
      merger.unmerge(old);
      CHECK(p.weight_is_original());
    }
  }
}

TEST_CASE("the first fault is reported, in the order of the region") {
  small p;
  auto a = p.adapter<fb>(region(20, {12, 3}), 1);
  a.matrix()(1, 0) = a.matrix()(0, 19) = a.matrix()(0, 7) = std::numeric_limits<float>::infinity();
  CHECK(fault_of([&] { p.merger.merge(a); }) == position{12, 7});
}

TEST_CASE("a sum that overflows 16 bits is found") {
  // 65504 is the largest half; 65520 is where rounding reaches infinity.
  Eigen::half weight[3] = {Eigen::half(1), Eigen::half(65504), Eigen::half(65504)};
  Eigen::half original[3] = {weight[0], weight[1], weight[2]};
  std::vector<float> trained = {0, 15.9F, 16};
  sbora::fa_adapter<float> a(3, 1, region(1, {0}), {.alpha = 1}, trained, {});
  sbora::merger merger{sbora::weight_view(weight, 3, 1)};
  CHECK(fault_of([&] { merger.merge(a); }) == position{2, 0});
  CHECK(std::memcmp(weight, original, sizeof weight) == 0);
  trained[2] = -16;
  merger.merge(a);
  CHECK(static_cast<float>(weight[1]) == 65504);

  Eigen::bfloat16 wide[1] = {Eigen::bfloat16(3e38F)};
  std::vector<float> large = {3e38F};
  const sbora::fb_adapter<float> b(1, 1, region(1, {0}), {.alpha = 1}, large, {});
  sbora::merger wide_merger{sbora::weight_view(wide, 1, 1)};
  CHECK(fault_of([&] { wide_merger.merge(b); }) == position{0, 0});
  CHECK(static_cast<float>(wide[0]) == static_cast<float>(Eigen::bfloat16(3e38F)));
}

TEST_CASE("a product that overflows is found even where the weight is finite") {
  small p;
  auto a = p.adapter<fa>(region(20, {3}), 1);
  a.matrix()(4, 0) = 3e38F;
  a.set_multiplier(1e10);
  CHECK(fault_of([&] { p.merger.merge(a); }) == position{4, 3});
  CHECK(p.weight_is_original());
}
