#include <algorithm>
#include <vector>

#include "support/catch.hpp"
#include "support/compare.hpp"
#include "support/levels.hpp"
#include "support/random_values.hpp"

using namespace sbora_tests;
using sbora::isa;
using sbora::detail::get_kernels;
using sbora::detail::packing_kernels;
using sbora::detail::panel_depth;

namespace {

constexpr std::uint64_t seed = 104;

/// How the operand lies in memory: rows along memory, across it, or neither stride one.
enum class order { row_major, col_major, spread };
constexpr order orders[] = {order::row_major, order::col_major, order::spread};

}  // namespace

TEMPLATE_TEST_CASE("pack lays strips out bit for bit and pads with zeros", "[kernels]", float, double) {
  using T = TestType;
  const isa level = GENERATE(from_range(tested_levels()));
  const auto& kernels = get_kernels<packing_kernels<T>>(level);
  const index_t strip_rows = kernels.tile_rows;
  random_values random(seed);
  for (index_t rows = 1; rows <= 2 * strip_rows + 1; ++rows) {
    for (const index_t depth : {0, 1, 2, 7, 17, 256, 515, 2051}) {
      if (depth > 2048 && rows % strip_rows > 1) continue;  // whole strips and one row more
      for (const order layout : orders) {
        const guard side = random.coin() ? guard::front : guard::back;
        const index_t gap = random.below(3);
        INFO(sbora::to_string(level) << ", " << rows << " x " << depth << ", gap " << gap << ", order "
                                     << static_cast<int>(layout) << ", seed " << seed);
        // spread: every third element of a row is the operand's, the rest is padding.
        const index_t step = layout == order::spread ? 3 : 1;
        const bool across = layout == order::col_major;
        const index_t run = across ? rows : (depth == 0 ? 0 : (depth - 1) * step + 1);
        const guarded_matrix<T> source(across ? depth : rows, run, run + gap, side);
        const index_t row_stride = across ? 1 : source.stride();
        const index_t depth_stride = across ? source.stride() : step;
        for (index_t i = 0; i < rows; ++i) {
          for (index_t k = 0; k < depth; ++k) {
            source.data()[i * row_stride + k * depth_stride] = random.template bits<T>();
          }
        }
        const std::vector<T> source_before = source.memory().image();

        const bool along = random.coin();  // the right operand's depth
        const index_t block_depth = panel_depth(along);
        const bool indexed = random.coin();  // rows in reverse
        const guarded_buffer<index_t> row_index(rows, side);
        for (index_t i = 0; i < rows; ++i) row_index[i] = rows - 1 - i;

        const index_t strips = (rows + strip_rows - 1) / strip_rows;
        const guarded_buffer<T> packed(strips * strip_rows * depth, side);
        std::vector<T> expected = packed.image();
        const auto expect = [&](index_t strip) {
          for (index_t k = 0; k < depth; ++k) {
            for (index_t i = 0; i < strip_rows; ++i) {
              const index_t row = strip * strip_rows + i;
              const index_t begin = k / block_depth * block_depth;
              const index_t at = strips * begin + strip * std::min(block_depth, depth - begin) + k - begin;
              expected[static_cast<std::size_t>(at * strip_rows + i)] =
                  row < rows ? source.data()[(indexed ? rows - 1 - row : row) * row_stride + k * depth_stride] : T(0);
            }
          }
        };
        const auto pack = [&](index_t begin, index_t end) {
          kernels.pack({source.data(), row_stride, depth_stride, indexed ? row_index.data() : nullptr, rows, depth,
                        along, packed.data(), begin, end});
        };
        pack(strips - 1, strips);
        expect(strips - 1);
        CHECK(differing_bits(packed, expected) == "");
        pack(0, strips);
        for (index_t strip = 0; strip < strips; ++strip) expect(strip);
        CHECK(differing_bits(packed, expected) == "");
        CHECK(differing_bits(source.memory(), source_before) == "");
      }
    }
  }
}

TEMPLATE_TEST_CASE("pack_few lays tokens out k by k and pads with zeros", "[kernels]", float, double) {
  using T = TestType;
  const isa level = GENERATE(from_range(tested_levels()));
  const auto& kernels = get_kernels<packing_kernels<T>>(level);
  const index_t width = kernels.tile_columns;
  random_values random(seed);
  for (const index_t rows :
       {index_t{1}, kernels.lanes, kernels.lanes + 1, width - 1, width, width + 1, 2 * width + 3}) {
    for (const index_t depth : {0, 1, 7, 16, 17, 515}) {
      const guard side = random.coin() ? guard::front : guard::back;
      INFO(sbora::to_string(level) << ", " << rows << " x " << depth << ", seed " << seed);
      const guarded_matrix<T> source(rows, depth, depth + random.below(3), side);
      source.fill([&] { return random.template bits<T>(); });
      const index_t blocks = (rows + width - 1) / width;
      const guarded_buffer<T> packed(blocks * width * depth, side);
      std::vector<T> expected = packed.image();
      for (index_t i = 0; i < packed.size(); ++i) {
        const index_t first = i / (width * depth) * width, in_block = i % (width * depth);
        const index_t block_width = rows - first <= kernels.lanes ? kernels.lanes : width;
        const index_t row = first + in_block % block_width;
        if (in_block >= block_width * depth) continue;  // a narrow block's end, left as it was
        expected[static_cast<std::size_t>(i)] = row < rows ? source(row, in_block / block_width) : T(0);
      }
      for (index_t block = blocks; block-- > 0;) {
        kernels.pack_few(
            {source.data(), source.stride(), 1, nullptr, rows, depth, true, packed.data(), block, block + 1});
      }
      CHECK(differing_bits(packed, expected) == "");
    }
  }
}
