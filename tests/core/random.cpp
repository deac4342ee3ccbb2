// The generator that everything reproducible hangs on: published vectors, and our streams in numbers.

#include <sbora/core/random.hpp>

#include <cmath>
#include <limits>
#include <vector>

#include "support/catch.hpp"

using sbora::index_t;
using sbora::philox4x32;
using sbora::random_stream;

using words = std::array<std::uint32_t, 4>;

TEST_CASE("philox4x32 gives the known answers of Random123") {
  // kat_vectors of Random123 1.14, "philox4x32 10".
  CHECK(philox4x32({0, 0, 0, 0}, 0) == words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(philox4x32({~0U, ~0U, ~0U, ~0U}, ~std::uint64_t{0}) == words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, 0x299f31d0a4093822) ==
        words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
  STATIC_REQUIRE(philox4x32({0, 0, 0, 0}, 0)[0] == 0x6627e8d5);
}

TEST_CASE("random_stream is the same everywhere") {
  // From a Python implementation of the documented definition.
  const auto first_four = [](random_stream stream) {
    return std::vector<std::uint64_t>{stream.next(), stream.next(), stream.next(), stream.next()};
  };
  CHECK(first_four(random_stream(0)) ==
        std::vector<std::uint64_t>{0xe169c58d6627e8d5, 0x5cb200dbf8e4cca4, 0x51c732a604faa329, 0x6a4474a6c990ef29});
  CHECK(first_four(random_stream(42)) ==
        std::vector<std::uint64_t>{0x77f5493b9ceaf053, 0x53ba6cfdfcdb2127, 0xa8875dcbd36c0225, 0xabaf0dabbac70475});
  CHECK(first_four(random_stream(42, 1)) ==
        std::vector<std::uint64_t>{0x2051e91302933769, 0xfdd21d9420ff9139, 0x1f70ab0736794079, 0xae3a5abf1e8dc7c5});
  CHECK(first_four(random_stream(0xffffffffffffffff, 0x8000000000000005)) ==
        std::vector<std::uint64_t>{0x6bfc91cae9ac6c3e, 0x2c76242f010a8629, 0xc1e1309023c41fc5, 0x4eb844fb5bb6c53f});
}

TEST_CASE("below is the same everywhere") {
  random_stream stream(7);
  std::vector<index_t> small, large;
  for (int i = 0; i < 12; ++i) small.push_back(stream.below(10));
  for (int i = 0; i < 4; ++i) large.push_back(stream.below(1000003));
  CHECK(small == std::vector<index_t>{0, 6, 2, 4, 0, 7, 5, 9, 3, 1, 9, 2});
  CHECK(large == std::vector<index_t>{376655, 238509, 352458, 308905});
  CHECK(stream.below(index_t{1} << 62) == 2995923317993325031);
}

TEST_CASE("below reaches every value equally often") {
  // 5 standard deviations of a binomial; just above and below powers of two, where a modulo is worst.
  for (const index_t bound : {1, 2, 3, 5, 8, 9, 17}) {
    CAPTURE(bound);
    const double draws = 40000;
    std::vector<int> counts(static_cast<std::size_t>(bound), 0);
    random_stream stream(static_cast<std::uint64_t>(bound));
    for (int i = 0; i < draws; ++i) {
      const index_t draw = stream.below(bound);
      REQUIRE(draw >= 0);
      REQUIRE(draw < bound);
      ++counts[static_cast<std::size_t>(draw)];
    }
    const double p = 1.0 / static_cast<double>(bound);
    for (const int count : counts) {
      CHECK(std::abs(count - draws * p) <= 5 * std::sqrt(draws * p * (1 - p)));
    }
  }
}

TEST_CASE("below takes every positive bound") {
  random_stream stream(3);
  const index_t largest = std::numeric_limits<index_t>::max();
  for (int i = 0; i < 100; ++i) {
    CHECK(stream.below(1) == 0);
    const index_t draw = stream.below(largest);
    CHECK(draw >= 0);
    CHECK(draw < largest);
  }
}

TEST_CASE("uniform lies in [0, 1) around a half") {
  random_stream stream(9);
  double sum = 0;
  for (int i = 0; i < 10000; ++i) {
    const double draw = stream.uniform();
    REQUIRE(draw >= 0);
    REQUIRE(draw < 1);
    sum += draw;
  }
  CHECK(std::abs(sum / 10000 - 0.5) < 5 / std::sqrt(12.0 * 10000));
}
