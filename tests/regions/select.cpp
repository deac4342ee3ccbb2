// Regions by score, disjoint regions for several tasks, and set operations.

#include <sbora/regions/select.hpp>
#include <sbora/regions/set_operations.hpp>

#include <array>
#include <limits>
#include <set>

#include "support/message.hpp"

using sbora::index_t;
using sbora::overlaps;
using sbora::partition_regions;
using sbora::region;
using sbora::region_error;
using sbora::shared_indices;
using sbora::top_region;
using indices = std::vector<index_t>;

namespace {

indices copy(std::span<const index_t> span) { return {span.begin(), span.end()}; }

template <class Score>
indices top(const std::vector<Score>& scores, index_t rank) {
  return copy(top_region(std::span<const Score>(scores), rank).indices());
}

std::vector<region> partition(index_t dim, const indices& ranks, std::uint64_t seed) {
  return partition_regions(dim, ranks, seed);
}

}  // namespace

TEST_CASE("top_region takes the best, best first, ties by lower index") {
  CHECK(top(std::vector<float>{1, 5, 3, 5, 2}, 3) == indices{1, 3, 2});
  CHECK(top(std::vector<double>{2, 2, 2, 2}, 2) == indices{0, 1});
  CHECK(top(std::vector<double>{-1, -3, -2}, 1) == indices{0});
  CHECK(top(std::vector<double>{0.0, -0.0, 0.0}, 3) == indices{0, 1, 2});
  CHECK(top(std::vector<float>{7}, 1) == indices{0});
  CHECK(top_region(std::span<const float>(std::vector<float>{1, 2, 3}), 2).dim() == 3);
}

TEST_CASE("top_region orders infinities") {
  const double inf = std::numeric_limits<double>::infinity();
  CHECK(top(std::vector<double>{-inf, 1, inf, 2, inf}, 5) == indices{2, 4, 3, 1, 0});
}

TEST_CASE("top_region rejects NaN scores and wrong ranks by their values") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK_ERROR(sbora::not_finite_error, "score 2 is NaN", top(std::vector<double>{1, 2, nan, nan}, 1));
  try {
    top(std::vector<double>{1, 2, nan}, 1);
  } catch (const sbora::not_finite_error& e) {
    CHECK(e.row() == 2);
  }
  CHECK_ERROR(region_error, "rank must be in [1, dim = 2], got 0", top(std::vector<double>{1, 2}, 0));
  CHECK_ERROR(region_error, "rank must be in [1, dim = 2], got 3", top(std::vector<double>{1, 2}, 3));
  CHECK_ERROR(region_error, "dim must be at least 1, got 0", top(std::vector<double>{}, 1));
}

TEST_CASE("partition_regions gives disjoint regions of the ranks asked for") {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const indices ranks = {5, 1, 17, 8, 1};
    const std::vector<region> parts = partition(40, ranks, seed);
    REQUIRE(parts.size() == ranks.size());
    std::set<index_t> seen;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      CHECK(parts[i].rank() == ranks[i]);
      CHECK(parts[i].dim() == 40);
      seen.insert(parts[i].indices().begin(), parts[i].indices().end());
    }
    CHECK(seen.size() == 32);
  }
}

TEST_CASE("partition_regions is the same on every platform, and may use up dim") {
  const std::vector<region> parts = partition(32, {3, 1, 8}, 11);
  CHECK(copy(parts[0].indices()) == indices{6, 7, 16});
  CHECK(copy(parts[1].indices()) == indices{0});
  CHECK(copy(parts[2].indices()) == indices{20, 18, 2, 25, 11, 12, 21, 28});
  CHECK(partition(6, {2, 2, 2}, 1).size() == 3);
  CHECK(partition(6, {6}, 1)[0] == sbora::sample_region(6, 6, 1));
}

TEST_CASE("partition_regions rejects by value") {
  CHECK_ERROR(region_error, "the ranks' sum exceeds dim = 6", partition(6, {4, 3}, 1));
  CHECK_ERROR(region_error, "rank must be in [1, dim = 6], got 0", partition(6, {4, 0}, 1));
  CHECK_ERROR(region_error, "rank must be in [1, dim = 6], got -2", partition(6, {-2, 3}, 1));
  CHECK_ERROR(region_error, "got 7", partition(6, {7}, 1));
  CHECK_ERROR(region_error, "no ranks given", partition(6, {}, 1));
  CHECK_ERROR(region_error, "dim must be at least 1, got 0", partition(0, {1}, 1));
}

TEST_CASE("shared_indices are ascending, and overlaps says whether there are any") {
  const region a(10, {7, 2, 5}), b(10, {5, 9, 7}), c(10, {0, 1});
  CHECK(shared_indices(a, b) == indices{5, 7});
  CHECK(shared_indices(b, a) == indices{5, 7});
  CHECK(shared_indices(a, c).empty());
  CHECK(overlaps(a, b));
  CHECK_FALSE(overlaps(a, c));
  CHECK(overlaps(a, a));
}

TEST_CASE("region_union keeps both orders, each index once") {
  const region a(10, {7, 2, 5}), b(10, {9, 5, 0, 7});
  CHECK(copy(region_union(a, b).indices()) == indices{7, 2, 5, 9, 0});
  CHECK(copy(region_union(b, a).indices()) == indices{9, 5, 0, 7, 2});
  CHECK(region_union(a, a) == a);
}

TEST_CASE("shifted_region says a part's indices in the whole") {
  const region part(4, {3, 0, 1});
  CHECK(shifted_region(part, 5, 9) == region(9, {8, 5, 6}));
  CHECK(shifted_region(part, 0, 4) == part);
  CHECK_ERROR(region_error, "index 8 at position 0 is outside [0, 8)", shifted_region(part, 5, 8));
  CHECK_ERROR(region_error, "outside [0, 9)", shifted_region(part, -1, 9));
  CHECK_ERROR(region_error, "outside [0, 9)", shifted_region(part, std::numeric_limits<index_t>::max(), 9));
}

TEST_CASE("set operations reject different dims by their values") {
  const region a(10, {1}), b(12, {1});
  CHECK_ERROR(region_error, "different dims, 10 and 12", shared_indices(a, b));
  CHECK_ERROR(region_error, "different dims, 10 and 12", overlaps(a, b));
  CHECK_ERROR(region_error, "different dims, 12 and 10", region_union(b, a));
}

TEST_CASE("scores and ranks come in any container") {
  const std::vector<float> scores = {1, 5, 3, 4};
  const std::vector<double> doubles(scores.begin(), scores.end());
  const sbora::region expected(4, {1, 3});
  CHECK(top_region(scores, 2) == expected);
  CHECK(top_region(doubles, 2) == expected);
  CHECK(top_region(std::vector<float>{1, 5, 3, 4}, 2) == expected);
  CHECK(top_region(std::array<double, 4>{1, 5, 3, 4}, 2) == expected);
  std::vector<float> writable = scores;
  CHECK(top_region(std::span(writable), 2) == expected);
  const std::vector<index_t> ranks = {3, 2};
  const auto regions = partition_regions(10, std::span(ranks), 1);
  CHECK(partition_regions(10, ranks, 1) == regions);
  CHECK(partition_regions(10, {3, 2}, 1) == regions);
  CHECK(partition_regions(10, std::vector<int>{3, 2}, 1) == regions);
  CHECK(partition_regions(10, std::array<unsigned, 2>{3, 2}, 1) == regions);
}
