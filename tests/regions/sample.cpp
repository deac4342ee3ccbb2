// Seeded samples: golden vectors that may never change, uniformity, blocks, errors.

#include <sbora/regions/sample.hpp>

#include <cmath>
#include <numeric>

#include "support/message.hpp"

using sbora::index_t;
using sbora::region_error;
using sbora::sample_block_region;
using sbora::sample_region;
using indices = std::vector<index_t>;

namespace {

indices copy(std::span<const index_t> span) { return {span.begin(), span.end()}; }

}  // namespace

TEST_CASE("sample_region is the same on every platform") {
  // From a Python implementation of the documented shuffle over the documented stream.
  CHECK(copy(sample_region(10, 10, 0).indices()) == indices{5, 0, 3, 4, 8, 2, 6, 1, 7, 9});
  CHECK(copy(sample_region(64, 8, 1).indices()) == indices{48, 28, 50, 36, 12, 11, 55, 32});
  CHECK(copy(sample_region(4096, 16, 42).indices()) ==
        indices{83, 296, 551, 1144, 960, 2062, 338, 952, 676, 2153, 3619, 3870, 3753, 3738, 2709, 2607});
  CHECK(copy(sample_region(11008, 8, 0x8000000000003039).indices()) ==
        indices{1522, 10978, 7515, 3886, 9271, 3653, 218, 859});
  CHECK(copy(sample_region(1000000000000, 6, 5).indices()) ==
        indices{638945028125, 44440976321, 459405569772, 428079715873, 127488860942, 66640701214});
  CHECK(copy(sample_region(1, 1, 9).indices()) == indices{0});
}

TEST_CASE("sample_block_region is the same on every platform") {
  CHECK(copy(sample_block_region(67, 12, 4, 3).indices()) == indices{28, 29, 30, 31, 8, 9, 10, 11, 44, 45, 46, 47});
  CHECK(sample_block_region(64, 8, 1, 1) == sample_region(64, 8, 1));
}

TEST_CASE("another seed gives another region") {
  CHECK(sample_region(4096, 16, 1) == sample_region(4096, 16, 1));
  CHECK_FALSE(sample_region(4096, 16, 1) == sample_region(4096, 16, 2));
}

TEST_CASE("a sample of rank dim is a permutation") {
  indices all(100);
  std::iota(all.begin(), all.end(), index_t{0});
  CHECK(copy(sample_region(100, 100, 4).sorted()) == all);
}

TEST_CASE("samples are uniform over indices and over positions") {
  constexpr index_t dim = 7, rank = 3;
  constexpr int draws = 7000;
  int count[rank][dim] = {};
  for (int seed = 0; seed < draws; ++seed) {
    const sbora::region r = sample_region(dim, rank, static_cast<std::uint64_t>(seed));
    for (index_t j = 0; j < rank; ++j) ++count[j][r.indices()[static_cast<std::size_t>(j)]];
  }
  const double p = 1.0 / dim;
  for (const auto& position : count) {
    for (const int times : position) {
      CHECK(std::abs(times - draws * p) <= 5 * std::sqrt(draws * p * (1 - p)));
    }
  }
}

TEST_CASE("ordered pairs come equally often") {
  int count[4][4] = {};
  constexpr int draws = 12000;
  for (int seed = 0; seed < draws; ++seed) {
    const sbora::region r = sample_region(4, 2, static_cast<std::uint64_t>(seed));
    ++count[r.indices()[0]][r.indices()[1]];
  }
  for (int a = 0; a < 4; ++a) {
    CHECK(count[a][a] == 0);
    for (int b = 0; b < 4; ++b) {
      if (a != b) CHECK(std::abs(count[a][b] - draws / 12.0) <= 5 * std::sqrt(draws * 11 / 144.0));
    }
  }
}

TEST_CASE("block regions are whole aligned groups, never of the uneven rest") {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const sbora::region r = sample_block_region(67, 32, 8, seed);
    REQUIRE(r.rank() == 32);
    for (std::size_t i = 0; i < 32; ++i) {
      CHECK(r.indices()[i] % 8 == static_cast<index_t>(i % 8));
      CHECK(r.indices()[i] < 64);
    }
  }
  CHECK(sample_block_region(67, 64, 8, 1).rank() == 64);
}

TEST_CASE("sample_region rejects by value") {
  CHECK_ERROR(region_error, "dim must be at least 1, got 0", sample_region(0, 1, 1));
  CHECK_ERROR(region_error, "dim must be at least 1, got -8", sample_region(-8, 1, 1));
  CHECK_ERROR(region_error, "rank must be in [1, dim = 8], got 0", sample_region(8, 0, 1));
  CHECK_ERROR(region_error, "rank must be in [1, dim = 8], got -1", sample_region(8, -1, 1));
  CHECK_ERROR(region_error, "rank must be in [1, dim = 8], got 9", sample_region(8, 9, 1));
}

TEST_CASE("sample_block_region rejects by value") {
  CHECK_ERROR(region_error, "dim must be at least 1, got 0", sample_block_region(0, 1, 1, 1));
  CHECK_ERROR(region_error, "got 0", sample_block_region(8, 0, 1, 1));
  CHECK_ERROR(region_error, "rank = 6 is not a multiple of block = 4", sample_block_region(8, 6, 4, 1));
  CHECK_ERROR(region_error, "rank = 6 is not a multiple of block = 0", sample_block_region(8, 6, 0, 1));
  CHECK_ERROR(region_error, "rank = 6 is not a multiple of block = -2", sample_block_region(8, 6, -2, 1));
  CHECK_ERROR(region_error, "rank must be in [1, dim = 8], got 9", sample_block_region(8, 9, 3, 1));
}
