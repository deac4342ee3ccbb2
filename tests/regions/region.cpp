// The region as a value: what it accepts, what it keeps, what it says where it rejects.

#include <sbora/regions/region.hpp>

#include <array>
#include <limits>

#include <Eigen/Core>

#include "support/message.hpp"

using sbora::index_t;
using sbora::region;
using sbora::region_error;
using indices = std::vector<index_t>;

namespace {

indices copy(std::span<const index_t> span) { return {span.begin(), span.end()}; }

}  // namespace

TEST_CASE("a region keeps the order given and knows the ascending one") {
  const region r(10, {7, 0, 9, 3});
  CHECK(r.dim() == 10);
  CHECK(r.rank() == 4);
  CHECK(copy(r.indices()) == indices{7, 0, 9, 3});
  CHECK(copy(r.sorted()) == indices{0, 3, 7, 9});
  CHECK(copy(r.order()) == indices{1, 3, 0, 2});
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK(r.sorted()[i] == r.indices()[static_cast<std::size_t>(r.order()[i])]);
  }
  CHECK(region(10, copy(r.indices())) == r);
}

TEST_CASE("a region knows its members") {
  const region r(10, {7, 0, 9});
  for (index_t i = -2; i < 12; ++i) CHECK(r.contains(i) == (i == 7 || i == 0 || i == 9));
  const auto given = r.indices();
  for (index_t i = -2; i < 12; ++i) {
    const auto at = std::find(given.begin(), given.end(), i);
    CHECK(r.position_of(i) == (at == given.end() ? -1 : at - given.begin()));
  }
}

TEST_CASE("regions are equal with the same dim and the same order") {
  CHECK(region(10, {1, 2}) == region(10, {1, 2}));
  CHECK_FALSE(region(10, {1, 2}) == region(10, {2, 1}));
  CHECK_FALSE(region(10, {1, 2}) == region(11, {1, 2}));
  CHECK_FALSE(region(10, {1, 2}) == region(10, {1}));
}

TEST_CASE("regions of rank 1 and of rank dim are fine") {
  CHECK(copy(region(1, {0}).sorted()) == indices{0});
  CHECK(copy(region(3, {2, 0, 1}).sorted()) == indices{0, 1, 2});
  const index_t huge = std::numeric_limits<index_t>::max();
  CHECK(region(huge, {huge - 1, 0}).contains(huge - 1));
}

TEST_CASE("a region can be copied and moved") {
  region a(10, {7, 0});
  region b = a;
  CHECK(b == a);
  const region c = std::move(b);
  CHECK(c == a);
  a = region(5, {4});
  CHECK(copy(a.sorted()) == indices{4});
}

TEST_CASE("a region rejects a dim below 1 by its value") {
  CHECK_ERROR(region_error, "dim must be at least 1, got 0", region(0, {0}));
  CHECK_ERROR(region_error, "dim must be at least 1, got -3", region(-3, {0}));
}

TEST_CASE("a region rejects rank 0 and rank above dim by their values") {
  CHECK_ERROR(region_error, "rank must be in [1, dim = 4], got 0", region(4, {}));
  CHECK_ERROR(region_error, "rank must be in [1, dim = 2], got 3", region(2, {0, 1, 1}));
}

TEST_CASE("a region rejects an index out of range by value and position") {
  CHECK_ERROR(region_error, "index 4 at position 2 is outside [0, 4)", region(4, {0, 3, 4}));
  CHECK_ERROR(region_error, "index -1 at position 0 is outside [0, 4)", region(4, {-1, 3}));
  CHECK_ERROR(region_error, "index -9223372036854775808 at position 1",
              region(4, {0, std::numeric_limits<index_t>::min()}));
}

TEST_CASE("a region rejects a duplicate by value and position") {
  CHECK_ERROR(region_error, "index 3 comes twice, again at position 2", region(5, {3, 1, 3}));
  CHECK_ERROR(region_error, "index 0 comes twice, again at position 1", region(5, {0, 0, 0}));
}

TEST_CASE("a region is made of any integers") {
  const region expected(10, indices{7, 0, 9});
  CHECK(region(10, {7, 0, 9}) == expected);
  CHECK(region(10, {7U, 0U, 9U}) == expected);
  CHECK(region(10, {std::size_t{7}, std::size_t{0}, std::size_t{9}}) == expected);
  CHECK(region(10, std::vector<int>{7, 0, 9}) == expected);
  CHECK(region(10, std::array<std::uint8_t, 3>{7, 0, 9}) == expected);
  CHECK(region(10, std::span<const index_t>(expected.indices())) == expected);
  const short array[] = {7, 0, 9};
  CHECK(region(10, array) == expected);
  CHECK(region(10, Eigen::Vector3i(7, 0, 9)) == expected);
  CHECK_ERROR(region_error, "index -1 at position 1", region(10, std::vector<int>{7, -1}));
  CHECK_ERROR(region_error, "index 18446744073709551615 at position 1",
              region(10, {std::uint64_t{7}, std::numeric_limits<std::uint64_t>::max()}));
  CHECK_ERROR(region_error, "rank must be in [1, dim = 10], got 0", region(10, std::vector<int>{}));
  CHECK_ERROR(region_error, "got 0", region(10, {}));
  STATIC_REQUIRE_FALSE(std::is_constructible_v<region, index_t, std::vector<double>>);
  STATIC_REQUIRE_FALSE(std::is_constructible_v<region, index_t, std::vector<bool>>);
  STATIC_REQUIRE_FALSE(std::is_constructible_v<region, index_t, std::string>);
}

TEST_CASE("the indices of a temporary region are values") {
  const auto made = [] { return region(10, {7, 0, 9}); };
  indices seen;
  for (const index_t index : made().indices()) seen.push_back(index);
  for (const index_t index : made().sorted()) seen.push_back(index);
  for (const index_t index : made().order()) seen.push_back(index);
  CHECK(seen == indices{7, 0, 9, 0, 7, 9, 1, 0, 2});
  STATIC_REQUIRE(std::is_same_v<decltype(made().indices()), indices>);
  STATIC_REQUIRE(std::is_same_v<decltype(std::declval<const region&>().indices()), std::span<const index_t>>);
}

TEST_CASE("a region that was moved from fits nothing") {
  region gone(10, {7, 0, 9});
  const region r = std::move(gone);
  CHECK(gone.dim() == 0);
  CHECK(gone.rank() == 0);
  CHECK(gone.indices().empty());
  CHECK_FALSE(gone == r);
  region other(10, {1});
  static_cast<void>(std::move(other).sorted());
  CHECK(other.dim() == 0);
}
