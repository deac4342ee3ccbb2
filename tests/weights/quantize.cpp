// Quantising: rules, errors, and the error means of bitsandbytes' own tests.

#include <cmath>
#include <numeric>

#include <sbora/quantized.hpp>
#include <sbora/sbora.hpp>

#include "support/catch.hpp"
#include "support/matrices.hpp"
#include "support/message.hpp"

using namespace sbora_tests;
using Eigen::bfloat16;
using sbora::four_bit_type;

namespace {

template <class Weight>
std::vector<float> values_of(const Weight& view) {
  std::vector<float> values(static_cast<std::size_t>(view.d_out() * view.d_in()));
  sbora::dequantize(view, sbora::weight_view<float>(values.data(), view.d_out(), view.d_in()));
  return values;
}

/// Standard normal, by Box and Muller.
std::vector<float> normal(index_t count, std::uint64_t seed) {
  sbora::random_stream random(seed);
  std::vector<float> values;
  while (static_cast<index_t>(values.size()) < count) {
    const double radius = std::sqrt(-2 * std::log(1 - random.uniform()));
    values.push_back(static_cast<float>(radius * std::cos(2 * 3.14159265358979323846 * random.uniform())));
  }
  return values;
}

double mean_error(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
  return sum / static_cast<double>(a.size());
}

}  // namespace

TEST_CASE("codes and scales are those of bitsandbytes 0.50.2 on the CPU") {
  // quantize_4bit of these 37 values with blocksize 32: a full block, and one that isn't and divides.
  std::vector<float> values;
  for (int i = 0; i < 37; ++i) values.push_back(static_cast<float>((i * 29) % 37 - 18) / 16.0F);
  const sbora::weight_view<float> source(values.data(), 1, 37);
  const auto hex = [](std::span<const std::uint8_t> codes) {
    std::string text;
    for (const std::uint8_t code : codes) {
      text += "0123456789abcdef"[code >> 4];
      text += "0123456789abcdef"[code & 15];
    }
    return text;
  };
  const sbora::four_bit_weight nf4(source, {four_bit_type::nf4, 32});
  CHECK(hex(nf4.view().codes()) == "0d941fc730ea51fd841eb620ea51fc830fc617");
  CHECK(nf4.view().scales().absmax[0] == 1.125F);
  CHECK(nf4.view().scales().absmax[1] == 0.9375F);
  const sbora::four_bit_weight fp4(source, {four_bit_type::fp4, 32});
  CHECK(hex(fp4.view().codes()) == "b26fa350db27ea356ca249db27fa351cb34ea0");
}

TEST_CASE("the mean error of normal weights is that of bitsandbytes") {
  // Its test's means, per blocksize, over 1024 x 1024, and its bound: seven of its standard deviations.
  const std::vector<float> weight = normal(1024 * 1024, 7);
  const sbora::weight_view<const float> source(weight.data(), 1024, 1024);
  const double means[][3] = {{32, 0.067746, 6.9e-5},    {64, 0.072798, 7.4e-5},   {128, 0.076831, 9.1e-5},
                             {256, 0.080337, 1.02e-4},  {512, 0.083547, 1.43e-4}, {1024, 0.086610, 1.87e-4},
                             {2048, 0.089592, 2.51e-4}, {4096, 0.092547, 3.6e-4}};
  for (const auto& [blocksize, mean, deviation] : means) {
    const sbora::four_bit_weight codes(source, {four_bit_type::nf4, static_cast<index_t>(blocksize)});
    INFO(blocksize);
    CHECK(std::abs(mean_error(values_of(codes.view()), weight) - mean) < 7 * deviation);
  }
  const sbora::four_bit_weight fp4(source, {four_bit_type::fp4});
  CHECK(std::abs(mean_error(values_of(fp4.view()), weight) - 0.096543) < 7 * 1.11e-4);
  const sbora::four_bit_weight nested(source, {.nested = true});
  CHECK(mean_error(values_of(nested.view()), weight) < 0.11);
}

TEST_CASE("quantising doesn't depend on where elements lie, or on how work is shared") {
  padded_matrix<bfloat16> rows(70, 45, 3), columns(45, 70);
  rows.randomise(3);
  for (index_t o = 0; o < 70; ++o) {
    for (index_t i = 0; i < 45; ++i) columns(i, o) = rows(o, i);
  }
  const sbora::weight_view<bfloat16> a(rows.data(), 70, 45, rows.stride());
  const sbora::weight_view<bfloat16> b(columns.data(), 70, 45, 0, sbora::storage::in_by_out);
  const sbora::four_bit_weight four_a(a), four_b(b);
  CHECK(values_of(four_a.view()) == values_of(four_b.view()));
  const sbora::int8_weight int8_a(a), int8_b(b);
  CHECK(values_of(int8_a.view()) == values_of(int8_b.view()));
}

TEST_CASE("zero blocks, odd counts and sizes beside the blocks") {
  const std::vector<float> zeros(67, 0.0F);
  const sbora::four_bit_weight codes(sbora::weight_view<const float>(zeros.data(), 1, 67));
  for (const std::uint8_t byte : codes.view().codes()) CHECK(byte == 0x77);
  CHECK(codes.view().scales().absmax[0] == 0);
  CHECK(codes.view().scales().absmax[1] == 1e-38F);  // the ragged one, as upstream keeps it
  CHECK(values_of(codes.view()) == zeros);
  const sbora::int8_weight int8(sbora::weight_view<const float>(zeros.data(), 1, 67));
  CHECK(values_of(int8.view()) == zeros);
  for (const index_t d_in : {63, 64, 65, 127}) {  // as upstream: (7, blocksize - 1)
    const std::vector<float> weight = normal(7 * d_in, 5);
    const sbora::four_bit_weight some(sbora::weight_view<const float>(weight.data(), 7, d_in));
    CHECK(mean_error(values_of(some.view()), weight) < 0.15);
  }
}

TEST_CASE("what isn't finite is named, and blocks of sizes that don't exist are refused") {
  padded_matrix<float> weight(9, 40);
  weight.randomise(1);
  const sbora::weight_view<float> view(weight.data(), 9, 40);
  CHECK_ERROR(sbora::quantization_error, "blocksize = 48", sbora::four_bit_weight(view, {.blocksize = 48}));
  CHECK_ERROR(sbora::quantization_error, "blocksize = 0", sbora::four_bit_weight(view, {.blocksize = 0}));
  CHECK_ERROR(sbora::quantization_error, "blocksize = 8192", sbora::four_bit_weight(view, {.blocksize = 8192}));
  CHECK_ERROR(sbora::quantization_error, "nested_offset[0]",
              sbora::four_bit_weight(view, {.nested = true, .nested_offset = std::nanf("")}));
  weight(8, 3) = std::numeric_limits<float>::quiet_NaN();
  weight(4, 17) = std::numeric_limits<float>::infinity();
  CHECK_ERROR(sbora::not_finite_error, "row 4, column 17", sbora::four_bit_weight{view});
  CHECK_ERROR(sbora::not_finite_error, "row 4, column 17", sbora::int8_weight{view});
  weight(4, 17) = 7e4F;  // finite, but not as a half
  CHECK_ERROR(sbora::not_finite_error, "row 4, column 17", sbora::int8_weight{view});
}

TEST_CASE("int8 rows are rounded to nearest even multiples of their greatest") {
  const std::vector<float> weight = {127, 2.5F, 3.5F, -2.5F, 0.49F, -127, 254, 5, -5, 7, 254, 1};
  const sbora::int8_weight codes(sbora::weight_view<const float>(weight.data(), 2, 6));
  const std::vector<int> expected = {127, 2, 4, -2, 0, -127, 127, 2, -2, 4, 127, 0};
  for (std::size_t i = 0; i < expected.size(); ++i) CHECK(codes.view().codes()[i] == expected[i]);
  CHECK(codes.view().absmax()[1] == 254);
}

TEST_CASE("int8 codes are of products rounded by themselves, whatever the unit is compiled for") {
  const std::vector<float> weight = {5, 2.5F};  // 2.5·(127/5) is 63.5 rounded, and below it unrounded
  const sbora::int8_weight codes(sbora::weight_view<const float>(weight.data(), 1, 2));
  CHECK(codes.view().codes()[1] == 64);
}

TEST_CASE("a block that a weight doesn't have is refused") {
  const std::vector<float> values(64, 0.5F);
  sbora::four_bit_weight weight(sbora::weight_view<const float>(values.data(), 1, 64));
  for (const index_t block : {index_t{-1}, index_t{1}, index_t{1} << 58}) {
    CHECK_ERROR(sbora::shape_error, "block " + std::to_string(block), weight.requantize_block(block, values));
  }
  weight.requantize_block(0, values);
  const sbora::four_bit_weight moved(std::move(weight));
  CHECK_THROWS_AS(weight.requantize_block(0, values), sbora::shape_error);
}

TEST_CASE("a view refuses codes and scales that don't fit") {
  std::vector<std::uint8_t> codes(50), absmax_codes(2);
  std::vector<float> absmax(2, 1.0F), nested(1, 1.0F), table(256, 0.5F);
  const auto view = [&](const sbora::four_bit_scales& scales, std::size_t bytes = 50, index_t d_in = 10) {
    return sbora::four_bit_view(four_bit_type::nf4, std::span(codes).first(bytes), 10, d_in, scales);
  };
  CHECK(view({64, absmax}).bytes() == 58);
  CHECK_ERROR(sbora::quantization_error, "blocksize = 63", view({63, absmax}));
  CHECK_ERROR(sbora::quantization_error, "blocksize = 0", view({0, absmax}));
  CHECK_ERROR(sbora::quantization_error, "codes has 49 elements, expected 50", view({64, absmax}, 49));
  CHECK_ERROR(sbora::quantization_error, "absmax has 2 elements, expected 4", view({32, absmax}));
  CHECK_ERROR(sbora::shape_error, "10 x 0", view({64, absmax}, 50, 0));
  CHECK_ERROR(sbora::shape_error, "must fit", view({64, absmax}, 50, std::numeric_limits<index_t>::max() / 2));
  const sbora::four_bit_scales good = {64, {}, absmax_codes, nested, table, 0.25F};
  CHECK(view(good).scales().nested());
  const auto with = [&](auto change) {
    sbora::four_bit_scales scales = good;
    change(scales);
    return view(scales);
  };
  CHECK_ERROR(sbora::quantization_error, "absmax_codes has 1",
              with([&](auto& s) { s.absmax_codes = s.absmax_codes.first(1); }));
  CHECK_ERROR(sbora::quantization_error, "nested_absmax has 0", with([&](auto& s) { s.nested_absmax = {}; }));
  CHECK_ERROR(sbora::quantization_error, "nested_table has 16",
              with([&](auto& s) { s.nested_table = s.nested_table.first(16); }));
  CHECK_ERROR(sbora::quantization_error, "nested_offset[0]", with([&](auto& s) { s.nested_offset = std::nanf(""); }));
  nested[0] = 3e38F;  // 0.5 of it fits, with the offset it doesn't
  CHECK(with([](auto&) {}).scales().nested());
  CHECK_ERROR(sbora::quantization_error, "the greatest scale", with([&](auto& s) { s.nested_offset = 3e38F; }));
  nested[0] = 1.0F;
  CHECK_ERROR(sbora::quantization_error, "absmax beside nested scales", with([&](auto& s) { s.absmax = absmax; }));
  absmax[1] = std::numeric_limits<float>::infinity();
  CHECK_ERROR(sbora::quantization_error, "absmax[1] = inf", view({64, absmax}));

  const std::vector<std::int8_t> bytes(12);
  const std::vector<float> rows(3, 1.0F);
  CHECK(sbora::int8_view(bytes, rows, 3, 4).bytes() == 24);
  CHECK_ERROR(sbora::quantization_error, "absmax has 3 elements, expected 4", sbora::int8_view(bytes, rows, 4, 3));
  CHECK_ERROR(sbora::quantization_error, "codes has 12 elements, expected 15", sbora::int8_view(bytes, rows, 3, 5));
}

TEST_CASE("a large weight in nested 4-bit codes takes 0.52 bytes an element") {
  const index_t d_out = 4096, d_in = 11008, blocks = d_out * d_in / 64;
  const std::vector<std::uint8_t> codes(static_cast<std::size_t>(d_out * d_in / 2)),
      absmax_codes(static_cast<std::size_t>(blocks));
  const std::vector<float> nested(static_cast<std::size_t>(blocks / 256)), table(256);
  const sbora::four_bit_view view(four_bit_type::nf4, codes, d_out, d_in, {64, {}, absmax_codes, nested, table, 0.0F});
  CHECK(static_cast<double>(view.bytes()) <= 0.52 * static_cast<double>(d_out * d_in));
}
