// What is added to a weight on pack gives the bits of a product with the merged weight.

#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/compare.hpp"
#include "support/region_case.hpp"

using namespace sbora_tests;
using sbora::isa;
using sbora::detail::panel_depth;

namespace {

constexpr std::uint64_t seed = 111;

/// One adapter's part, in guarded memory: sorted indices of one axis and the trained half, which runs
/// along the lines or along the indices.
template <class T>
struct update_case {
  bool along_depth, trained_along_lines;
  std::vector<index_t> unsorted;
  guarded_buffer<index_t> index, position;
  guarded_matrix<T> trained;
  T scale;

  update_case(bool along_depth_, bool along_lines, index_t dim, index_t lines, index_t rank, guard side,
              random_values& random)
      : along_depth(along_depth_),
        trained_along_lines(along_lines),
        index(rank, side),
        position(rank, side),
        trained(along_lines ? rank : lines, along_lines ? lines : rank, (along_lines ? lines : rank) + random.below(3),
                side),
        scale(random.uniform<T>()) {
    random.distinct(dim, index);
    unsorted = index.image();
    for (index_t i = 0; i < rank; ++i) position[i] = i;
    std::sort(position.data(), position.data() + rank,
              [&](index_t a, index_t b) { return unsorted[size_t(a)] < unsorted[size_t(b)]; });
    for (index_t i = 0; i < rank; ++i) index[i] = unsorted[size_t(position[i])];
    trained.fill([&] { return random.uniform<T>(); });
  }

  sbora::detail::panel_update<T> args(bool rounded) const {
    return {index.data(),
            position.data(),
            index.size(),
            along_depth,
            trained.data(),
            trained_along_lines ? 1 : trained.stride(),
            trained_along_lines ? trained.stride() : 1,
            scale,
            rounded};
  }

  template <class Merged, class At>
  void merge(At&& rhs, index_t depth, index_t columns) const {
    for (index_t j = 0; j < index.size(); ++j) {
      for (index_t line = 0; line < (along_depth ? columns : depth); ++line) {
        Merged& w = along_depth ? rhs(unsorted[size_t(j)], line) : rhs(line, unsorted[size_t(j)]);
        w = merged_value(w, scale, trained_along_lines ? trained(j, line) : trained(line, j));
      }
    }
  }
};

struct shape {
  index_t rows, depth, columns;
  index_t depth_rank, column_rank;  ///< of the updates along the two axes
  bool depth_contiguous;
  bool few = false;  ///< product_few
};

/// The product with `Merged` as what a sum is rounded to, once on pack and once in memory.
template <class Storage, class Merged>
void check(isa level, const shape& s, bool along_lines, random_values& random) {
  using T = sbora::detail::compute_of<Storage>;
  const guard side = random.coin() ? guard::front : guard::back;
  const auto& dense = sbora::detail::get_kernels<sbora::detail::packing_kernels<T>>(level);
  const index_t strip_rows = s.few ? dense.tile_columns : dense.tile_rows;
  const index_t strips = (s.rows + strip_rows - 1) / strip_rows;
  const guarded_buffer<T> packed(strips * strip_rows * s.depth, side);
  for (index_t i = 0; i < packed.size(); ++i) packed[i] = random.uniform<T>();

  const index_t rhs_rows = s.depth_contiguous ? s.columns : s.depth;
  const index_t rhs_cols = s.depth_contiguous ? s.depth : s.columns;
  const index_t stride = rhs_cols + random.below(3);
  const guarded_matrix<Storage> rhs(rhs_rows, rhs_cols, stride, side);
  const guarded_matrix<Merged> merged(rhs_rows, rhs_cols, stride, side);
  rhs.fill([&] { return stored_as<Storage>(random.uniform<T>()); });
  for (index_t i = 0; i < rhs_rows; ++i) {
    for (index_t k = 0; k < rhs_cols; ++k) merged(i, k) = stored_as<Merged>(T(value_of(rhs(i, k))));
  }
  const auto at = [&](index_t k, index_t n) -> Merged& { return s.depth_contiguous ? merged(n, k) : merged(k, n); };

  const update_case<T> first(true, along_lines, s.depth, s.columns, s.depth_rank, side, random);
  const update_case<T> second(false, !along_lines, s.columns, s.depth, s.column_rank, side, random);
  constexpr bool rounded = std::is_same_v<Storage, Merged>;
  const std::vector<sbora::detail::panel_update<T>> updates = {first.args(rounded), second.args(rounded)};
  first.template merge<Merged>(at, s.depth, s.columns);
  second.template merge<Merged>(at, s.depth, s.columns);

  const guarded_matrix<T> out(s.rows, s.columns, s.columns + random.below(3), side);
  const auto run = [&](const auto& right, auto storage, const auto& added) {
    out.fill([] { return padding<T>(); });
    const auto& products = sbora::detail::get_kernels<sbora::detail::product_kernels<decltype(storage)>>(level);
    (s.few ? products.product_few : products.product)({packed.data(),
                                                       s.rows,
                                                       s.depth,
                                                       {right.data(), stride},
                                                       s.depth_contiguous,
                                                       out.data(),
                                                       out.stride(),
                                                       T(0.7),
                                                       nullptr,
                                                       false,
                                                       added.data(),
                                                       static_cast<index_t>(added.size()),
                                                       0,
                                                       strips,
                                                       0,
                                                       s.columns});
    return out.memory().image();
  };
  const std::vector<T> expected = run(merged, Merged(), std::vector<sbora::detail::panel_update<T>>());
  const std::vector<T> before = run(rhs, Storage(), std::vector<sbora::detail::panel_update<T>>());
  run(rhs, Storage(), updates);
  INFO(sbora::to_string(level) << ", " << s.rows << " x " << s.depth << " x " << s.columns << ", ranks " << s.depth_rank
                               << ", " << s.column_rank << ", " << (s.depth_contiguous ? "columns" : "rows")
                               << " contiguous, " << (rounded ? "rounded" : "not rounded") << ", seed " << seed);
  CHECK(differing_bits(out.memory(), expected) == "");
  CHECK(before != expected);
}

}  // namespace

TEMPLATE_TEST_CASE("an update on pack gives the bits of the merged weight", "[kernels]", float, double, sbora::bf16,
                   sbora::f16) {
  using T = sbora::detail::compute_of<TestType>;
  const isa level = GENERATE(from_range(tested_levels()));
  const index_t tile = sbora::detail::get_kernels<sbora::detail::packing_kernels<T>>(level).tile_columns;
  random_values random(seed);
  for (const bool contiguous : {false, true}) {
    for (const bool along_lines : {false, true}) {
      const shape shapes[] = {{1, 1, 1, 1, 1, contiguous},
                              {3, 5, tile - 1, 5, tile - 1, contiguous},
                              {2, panel_depth(contiguous) + 3, 2 * tile + 1, 19, 7, contiguous},
                              {2, 2 * panel_depth(contiguous), tile, 1, 2, contiguous},
                              {2, 67, tile + 1, 67, tile, contiguous}};
      for (shape s : shapes) {
        for (const bool few : {false, true}) {
          s.few = few;
          if (few && !contiguous) continue;
          check<TestType, TestType>(level, s, along_lines, random);
          if (!std::is_same_v<TestType, T>) check<TestType, T>(level, s, along_lines, random);
        }
      }
    }
  }
}
