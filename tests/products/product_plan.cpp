// Which method computes a product, and how much it takes. Whether the results are right is tested in layers/.

#include "support/catch.hpp"

#include <sbora/products/product.hpp>

using sbora::index_t;
using sbora::detail::plan_product;
using sbora::detail::product_means;
using sbora::detail::product_method;
using sbora::detail::product_plan;
using sbora::detail::product_shape;

namespace {

constexpr product_means plain = {.tile_rows = 8,
                                 .tile_columns = 16,
                                 .lanes = 8,
                                 .vector_bytes = 32,
                                 .pairs = false,
                                 .codes = false,
                                 .converted = false};

product_shape usual(index_t rows) {
  return {.rows = rows,
          .depth = 96,
          .columns = 200,
          .depth_along_lines = true,
          .plain_rows = true,
          .bf16_rows = false,
          .updated = false,
          .rounded = false,
          .in_any_batch = false};
}

product_method method(const product_shape& shape, const product_means& means = plain) {
  return plan_product(shape, means, 1).method;
}

}  // namespace

TEST_CASE("few rows are streamed, more are packed as vectors, many in tiles") {
  CHECK(method(usual(1)) == product_method::stream);
  CHECK(method(usual(8)) == product_method::stream);
  CHECK(method(usual(9)) == product_method::few);
  CHECK(method(usual(64)) == product_method::few);
  CHECK(method(usual(65)) == product_method::packed);
  product_shape across = usual(48);
  across.depth_along_lines = false;
  CHECK(method(across) == product_method::stream);
  across.rows = 49;
  CHECK(method(across) == product_method::packed);
  across.columns = 512;
  CHECK(method(across) == product_method::stream_cut);
  across.rows = 256;
  CHECK(method(across) == product_method::stream_cut);
  across.rows = 257;
  CHECK(method(across) == product_method::packed);
}

TEST_CASE("how many rows are streamed depends on the level and on what has to be converted") {
  product_means converted = plain, wide = plain, narrow = plain;
  converted.converted = true;
  wide.vector_bytes = 64;
  narrow.vector_bytes = 16;
  CHECK(method(usual(12), converted) == product_method::stream);
  CHECK(method(usual(13), converted) == product_method::few);
  const auto across = [](index_t rows, const product_means& means) {
    product_shape shape = usual(rows);
    shape.depth_along_lines = false;
    return method(shape, means);
  };
  CHECK(across(32, wide) == product_method::stream);
  CHECK(across(33, wide) == product_method::packed);
  CHECK(across(16, narrow) == product_method::stream);
  CHECK(across(17, narrow) == product_method::packed);
  wide.converted = wide.pairs = true;
  CHECK(across(48, wide) == product_method::stream);
  product_shape pairs = usual(16);
  pairs.bf16_rows = true;
  CHECK(method(pairs, wide) == product_method::stream);
  pairs.rows = 17;
  CHECK(method(pairs, wide) == product_method::packed_pairs);
  product_means tiles = wide;
  tiles.pair_depth = 32;
  pairs.rows = 6;
  CHECK(method(pairs, tiles) == product_method::stream);
  pairs.rows = 7;
  CHECK(method(pairs, tiles) == product_method::packed_pairs);
  pairs.depth_along_lines = false;
  pairs.rows = 8;
  CHECK(method(pairs, tiles) == product_method::stream);
  pairs.rows = 9;
  CHECK(method(pairs, tiles) == product_method::packed_pairs);
}

TEST_CASE("codes in groups and pairs are used where the level has them") {
  product_means codes = plain, pairs = plain;
  codes.codes = true;
  pairs.pairs = true;
  CHECK(method(usual(16), codes) == product_method::stream_codes);
  CHECK(method(usual(17), codes) == product_method::few);
  product_shape narrow = usual(100);
  CHECK(method(narrow, pairs) == product_method::packed);
  narrow.bf16_rows = true;
  CHECK(method(narrow, pairs) == product_method::packed_pairs);
  CHECK(method(narrow) == product_method::packed);
  narrow.updated = true;
  CHECK(method(narrow, pairs) == product_method::packed);
  narrow.rounded = true;
  CHECK(method(narrow, pairs) == product_method::packed_pairs);
}

TEST_CASE("nothing is streamed that has to be packed") {
  for (bool product_shape::*const member : {&product_shape::updated, &product_shape::plain_rows}) {
    product_shape shape = usual(1);
    shape.*member = !(shape.*member);
    const product_plan plan = plan_product(shape, plain, 1);
    CHECK((plan.method == product_method::few || plan.method == product_method::packed));
    CHECK(plan.adds_updates);
  }
  product_shape empty = usual(1);
  empty.depth = 0;
  CHECK(method(empty) != product_method::stream);
  CHECK_FALSE(plan_product(usual(1), plain, 1).adds_updates);
}

TEST_CASE("a plan's tasks cover every row and column once") {
  for (const bool along : {true, false}) {
    for (const index_t rows : {1, 5, 8, 9, 17, 64, 65, 100, 513}) {
      for (const index_t columns : {1, 15, 64, 65, 1023, 1025, 5000}) {
        for (const index_t threads : {1, 2, 64}) {
          CAPTURE(along, rows, columns, threads);
          product_shape shape = usual(rows);
          shape.columns = columns;
          shape.depth_along_lines = along;
          const product_plan plan = plan_product(shape, plain, threads);
          CHECK((plan.column_blocks - 1) * plan.block_columns < columns);
          CHECK(plan.column_blocks * plan.block_columns >= columns);
          if (plan.method == product_method::packed) {
            CHECK((plan.row_blocks - 1) * plan.block_strips < plan.strips);
            CHECK(plan.row_blocks * plan.block_strips >= plan.strips);
            CHECK(plan.strips * plan.tile_rows >= rows);
          }
          CHECK(plan.scratch >= rows * shape.depth);
        }
      }
    }
  }
}

TEST_CASE("rows are cut where there are threads for them, and panels packed no more often than that") {
  product_shape shape = usual(1024);
  shape.columns = 576;
  CHECK(plan_product(shape, plain, 1).row_blocks == 1);
  const product_plan two = plan_product(shape, plain, 2), many = plan_product(shape, plain, 64);
  CHECK(two.tasks() >= 16);
  CHECK(two.tasks() < 16 + two.column_blocks);
  CHECK(many.row_blocks > two.row_blocks);
  CHECK(many.block_strips >= 8);
  shape.columns = 11008;
  CHECK(plan_product(shape, plain, 2).row_blocks == 1);
}

TEST_CASE("rows of bf16 never need more scratch than the same rows of the computed type") {
  // So that a layer's workspace_bytes() may count with either.
  for (const bool along : {true, false}) {
    for (const bool has : {true, false}) {
      for (index_t rows = 1; rows < 140; ++rows) {
        product_shape shape = usual(rows);
        shape.depth_along_lines = along;
        product_means means = plain;
        means.pairs = means.codes = means.converted = has;
        if (has) means.pair_rows = 32, means.pair_depth = 32;
        means.vector_bytes = has ? 64 : 32;
        const index_t plain_scratch = plan_product(shape, means, 1).scratch;
        shape.bf16_rows = true;
        CAPTURE(rows, along, has);
        CHECK(plan_product(shape, means, 1).scratch <= plain_scratch);
        shape.bf16_rows = false;
        shape.updated = true;
        CHECK(plan_product(shape, means, 1).scratch >= plain_scratch);
      }
    }
  }
}

TEST_CASE("small products aren't shared out") {
  CHECK_FALSE(plan_product(usual(1), plain, false).shares);
  CHECK(plan_product(usual(64), plain, false).shares);
}

TEST_CASE("rows as bytes: few against codes as they lie, more in tiles where there are some") {
  product_means bytes = plain, tiles = plain;
  bytes.bytes = tiles.bytes = tiles.byte_tiles = true;
  const auto as_bytes = [](index_t rows, bool in_any_batch = false) {
    product_shape shape = usual(rows);
    shape.as_bytes = true;
    shape.in_any_batch = in_any_batch;
    return shape;
  };
  CHECK(method(as_bytes(1)) == product_method::stream);
  CHECK(method(as_bytes(1), tiles) == product_method::stream_bytes);
  CHECK(method(as_bytes(100), tiles) == product_method::packed_bytes);
  CHECK(method(as_bytes(1), bytes) == product_method::stream_bytes);
  CHECK(method(as_bytes(100), bytes) == product_method::packed);
  CHECK(method(as_bytes(1, true), bytes) == product_method::packed);
  CHECK(method(as_bytes(1, true), tiles) == product_method::stream_bytes);
  product_shape shape = as_bytes(1);
  shape.updated = true;
  CHECK(method(shape, tiles) == product_method::few);
  shape = as_bytes(1);
  shape.depth_along_lines = false;
  CHECK(method(shape, tiles) == product_method::stream);
  CHECK_FALSE(plan_product(as_bytes(1), tiles, 1).adds_updates);
  CHECK(plan_product(as_bytes(3), tiles, 1).scratch * 4 >= 3 * sbora::detail::byte_row_bytes(96));
}
