#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/compare.hpp"
#include "support/levels.hpp"
#include "support/random_values.hpp"
#include "support/running_error.hpp"

using namespace sbora_tests;
using sbora::isa;
using sbora::detail::dense_kernels;
using sbora::detail::get_kernels;

namespace {

constexpr std::uint64_t seed = 101;
constexpr index_t tokens = 4;

/// Tokens [begin, end) of the four: all, one in the middle, none.
struct range {
  index_t begin, end;
};
constexpr range ranges[] = {{0, tokens}, {1, 3}, {2, 2}};

/// What a message says of one call.
std::string described(isa level, index_t rank, index_t dim, index_t gap, range r) {
  return std::string(sbora::to_string(level)) + ", rank " + std::to_string(rank) + " of " + std::to_string(dim) +
         ", gap " + std::to_string(gap) + ", tokens [" + std::to_string(r.begin) + ", " + std::to_string(r.end) +
         "), seed " + std::to_string(seed);
}

}  // namespace

TEMPLATE_TEST_CASE("gather copies indexed features bit for bit", "[kernels]", float, double) {
  using T = TestType;
  const isa level = GENERATE(from_range(tested_levels()));
  random_values random(seed);
  for (const index_t rank : lengths_around<T>(level)) {
    for (const guard side : both_guards) {
      for (const range r : ranges) {
        const index_t dim = rank + random.below(4);
        const index_t gap = random.below(4);
        INFO(described(level, rank, dim, gap, r));
        const guarded_matrix<T> source(tokens, dim, dim + gap, side);
        const guarded_matrix<T> out(tokens, rank, rank + gap, side);
        const guarded_buffer<index_t> index(rank, side);
        source.fill([&] { return random.template bits<T>(); });
        random.distinct(dim, index);

        std::vector<T> expected = out.memory().image();
        const std::vector<T> source_before = source.memory().image();
        for (index_t t = r.begin; t < r.end; ++t) {
          for (index_t j = 0; j < rank; ++j) {
            expected[static_cast<std::size_t>(t * out.stride() + j)] = source(t, index[j]);
          }
        }
        get_kernels<dense_kernels<T>>(level).gather(
            {source.data(), source.stride(), index.data(), rank, out.data(), out.stride(), r.begin, r.end});
        CHECK(differing_bits(out.memory(), expected) == "");
        CHECK(differing_bits(source.memory(), source_before) == "");
      }
    }
  }
}

TEMPLATE_TEST_CASE("scatter_add adds within two roundings and nothing else", "[kernels]", float, double) {
  using T = TestType;
  const isa level = GENERATE(from_range(tested_levels()));
  const bool indexed = GENERATE(true, false);
  random_values random(seed);
  for (const index_t rank : lengths_around<T>(level)) {
    for (const guard side : both_guards) {
      for (const range r : ranges) {
        const index_t dim = indexed ? rank + random.below(4) : rank;
        const index_t gap = random.below(4);
        INFO(described(level, rank, dim, gap, r) << (indexed ? ", indexed" : ", not indexed"));
        const guarded_matrix<T> source(tokens, rank, rank + gap, side);
        const guarded_matrix<T> out(tokens, dim, dim + gap, side);
        const guarded_buffer<index_t> index(indexed ? rank : 0, side);
        source.fill([&] { return random.template uniform<T>(); });
        out.fill([&] { return random.template uniform<T>(); });
        random.distinct(dim, index);
        const T scale = random.template uniform<T>();
        const std::vector<T> before = out.memory().image();
        get_kernels<dense_kernels<T>>(level).scatter_add({source.data(), source.stride(),
                                                          indexed ? index.data() : nullptr, rank, scale, out.data(),
                                                          out.stride(), r.begin, r.end});

        std::vector<T> untouched = before;  // with the results where there must be some
        within_bounds results;
        for (index_t t = r.begin; t < r.end; ++t) {
          for (index_t j = 0; j < rank; ++j) {
            const index_t at = t * out.stride() + (indexed ? index[j] : j);
            const T old = before[static_cast<std::size_t>(at)];
            const running<T> reference = running<T>{scale} * running<T>{source(t, j)} + running<T>{old};
            results.add(t, j, out.memory()[at], reference.value, reference.error);
            untouched[static_cast<std::size_t>(at)] = out.memory()[at];
          }
        }
        CHECK(results.failures() == "");
        CHECK(differing_bits(out.memory(), untouched) == "");
      }
    }
  }
}

TEMPLATE_TEST_CASE("scatter_add gives the same bits wherever a row is cut", "[kernels]", float, double) {
  using T = TestType;
  const isa level = GENERATE(from_range(tested_levels()));
  const index_t rank = 3 * lanes<T>(level) + 2;
  random_values random(seed);
  const guarded_matrix<T> source(1, rank, rank, guard::back);
  const guarded_matrix<T> out(1, rank, rank, guard::back);
  source.fill([&] { return random.template uniform<T>(); });
  out.fill([&] { return random.template uniform<T>(); });
  const std::vector<T> before = out.memory().image();
  const auto add = [&](index_t from, index_t to) {
    get_kernels<dense_kernels<T>>(level).scatter_add(
        {source.data() + from, rank, nullptr, to - from, T(0.7), out.data() + from, rank, 0, 1});
  };
  add(0, rank);
  const std::vector<T> whole = out.memory().image();
  for (index_t cut = 0; cut <= rank; ++cut) {
    INFO(sbora::to_string(level) << ", cut at " << cut << " of " << rank << ", seed " << seed);
    out.memory().assign(before);
    add(0, cut);
    add(cut, rank);
    CHECK(differing_bits(out.memory(), whole) == "");
  }
}
