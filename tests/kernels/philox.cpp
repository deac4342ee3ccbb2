#include <array>
#include <cmath>
#include <vector>

#include <sbora/core/random.hpp>

#include "support/catch.hpp"

using words = std::array<std::uint32_t, 4>;

TEST_CASE("philox4x32 gives the known answers of Random123", "[kernels]") {
  // kat_vectors of Random123 1.14, philox4x32 with 10 rounds.
  CHECK(sbora::philox4x32({0, 0, 0, 0}, 0) == words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(sbora::philox4x32({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, 0xffffffffffffffff) ==
        words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(sbora::philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, 0x299f31d0a4093822) ==
        words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
  static_assert(sbora::philox4x32({0, 0, 0, 0}, 0)[3] == 0x9b00dbd8);
}

TEST_CASE("a random_stream is words 0 and 1 of (position, stream)", "[kernels]") {
  constexpr std::uint64_t seed = 0x0123456789ABCDEF;
  constexpr std::uint64_t stream = 0xFEDCBA9800000007;
  sbora::random_stream random(seed, stream);
  for (std::uint32_t i = 0; i < 10; ++i) {
    const words expected = sbora::philox4x32({i, 0, 7, 0xFEDCBA98}, seed);
    CHECK(random.next() == (expected[0] | std::uint64_t{expected[1]} << 32));
  }
}

TEST_CASE("random_stream::below and uniform stay in range and are even", "[kernels]") {
  sbora::random_stream random(2024);
  constexpr int draws = 20000;
  for (const sbora::index_t bound : {1, 2, 3, 7, 8, 10}) {
    INFO("seed 2024, bound " << bound);
    std::vector<int> count(static_cast<std::size_t>(bound));
    int outside = 0;
    for (int i = 0; i < draws; ++i) {
      const sbora::index_t drawn = random.below(bound);
      if (drawn >= 0 && drawn < bound) ++count[static_cast<std::size_t>(drawn)];
      else ++outside;
    }
    CHECK(outside == 0);
    const double p = 1.0 / static_cast<double>(bound);
    for (const int hits : count) {
      CHECK(std::fabs(hits - draws * p) <= 5 * std::sqrt(draws * p * (1 - p)));
    }
  }
  double sum = 0;
  int outside = 0;
  for (int i = 0; i < draws; ++i) {
    const double drawn = random.uniform();
    outside += drawn >= 0 && drawn < 1 ? 0 : 1;
    sum += drawn;
  }
  CHECK(outside == 0);
  CHECK(std::fabs(sum / draws - 0.5) <= 5 / std::sqrt(12.0 * draws));
}
