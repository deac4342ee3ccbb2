// A part of a weight has the elements that it says, of every storage, and what codes can't say is refused.

#include <sbora/merge/export_merged.hpp>
#include <sbora/quantized.hpp>
#include <sbora/weights/any_weight.hpp>

#include "support/fp8_codes.hpp"
#include "support/ggml_blocks.hpp"
#include "support/matrices.hpp"
#include "support/message.hpp"

using namespace sbora_tests;
using sbora::columns_of;
using sbora::index_range;
using sbora::rows_of;

namespace {

template <class Weight>
std::vector<float> values_of(const Weight& weight) {
  std::vector<float> values(static_cast<std::size_t>(weight.d_out() * weight.d_in()));
  sbora::dequantize(weight, sbora::weight_view<float>(values.data(), weight.d_out(), weight.d_in()));
  return values;
}

/// That the part is rows and columns of the weight, which has a part as its part too.
template <class Weight>
void check_part(const Weight& weight, index_range rows, index_range columns) {
  CAPTURE(weight.d_out(), weight.d_in(), rows.begin, rows.end, columns.begin, columns.end);
  const std::vector<float> all = values_of(weight);
  std::vector<float> expected;
  for (index_t row = rows.begin; row < rows.end; ++row) {
    for (index_t column = columns.begin; column < columns.end; ++column) {
      expected.push_back(all[static_cast<std::size_t>(row * weight.d_in() + column)]);
    }
  }
  CHECK(same_bits<float>(values_of(columns_of(rows_of(weight, rows), columns)), expected));
  CHECK(same_bits<float>(values_of(rows_of(columns_of(weight, columns), rows)), expected));
}

template <class Scalar>
void check_dense() {
  for (const sbora::storage order : {sbora::storage::out_by_in, sbora::storage::in_by_out}) {
    const bool straight = order == sbora::storage::out_by_in;
    padded_matrix<Scalar> w(straight ? 23 : 31, straight ? 31 : 23, 3);
    w.randomise(1);
    const sbora::weight_view<const Scalar> view(w.data(), 23, 31, w.stride(), order);
    check_part(view, {0, 23}, {0, 31});
    check_part(view, {3, 20}, {5, 6});
    check_part(view, {22, 23}, {1, 31});
  }
}

}  // namespace

TEST_CASE("parts of dense weights") {
  check_dense<float>();
  check_dense<Eigen::bfloat16>();
  check_dense<Eigen::half>();
}

TEST_CASE("parts of codes") {
  const std::vector<float> dense = random_vector<float>(96 * 256, 2);
  const sbora::weight_view w(dense.data(), 96, 256);
  for (const sbora::four_bit_type type : {sbora::four_bit_type::nf4, sbora::four_bit_type::fp4}) {
    const sbora::four_bit_weight codes(w, {.type = type});
    check_part(codes.view(), {3, 90}, {64, 201});
    check_part(codes.view(), {95, 96}, {192, 256});
  }
  const sbora::four_bit_weight nested(w, {.nested = true});
  check_part(nested.view(), {64, 96}, {0, 77});
  const sbora::four_bit_weight uneven(sbora::weight_view(dense.data(), 64, 80), {.blocksize = 32});
  check_part(uneven.view(), {2, 63}, {0, 80});               // 160 elements are five blocks
  const auto both = uneven.view().part({{1, 4}, {16, 48}});  // neither alone begins a block
  CHECK(values_of(both)[33] == values_of(uneven.view())[2 * 80 + 17]);
  const sbora::int8_weight int8(w);
  check_part(int8.view(), {3, 90}, {7, 100});
  for (const sbora::fp8_scaling scaling : all_fp8_scalings) {
    const fp8_codes fp8(300, 270, scaling, 3);
    check_part(fp8.view(), {128, 299}, {128, 260});
    check_part(fp8.view(), {256, 300}, {256, 270});
    if (scaling != sbora::fp8_scaling::block_128) check_part(fp8.view(), {1, 200}, {3, 270});
  }
  check_part(ggml_blocks(30, 512, sbora::ggml_type::q4_k, 3).view(), {1, 29}, {256, 400});
  check_part(ggml_blocks(30, 128, sbora::ggml_type::q5_1, 3).view(), {1, 29}, {32, 127});
}

TEST_CASE("a part of any weight keeps its owner") {
  auto owned = std::make_shared<const std::vector<float>>(random_vector<float>(12 * 10, 1));
  std::weak_ptr<const std::vector<float>> alive = owned;
  const float* const data = owned->data();
  std::optional<sbora::any_weight> whole(std::in_place, sbora::weight_view<const float>(data, 12, 10),
                                         std::shared_ptr<const void>(std::move(owned)));
  const sbora::any_weight part = rows_of(*whole, {3, 7});
  whole.reset();
  CHECK(!alive.expired());
  CHECK((part.d_out() == 4 && part.d_in() == 10));
  part.visit([&](const auto& view) {
    if constexpr (requires { view.data(); }) CHECK(static_cast<const void*>(view.data()) == data + 30);
  });
}

TEST_CASE("parts that can't be") {
  const std::vector<float> dense = random_vector<float>(96 * 256, 2);
  const sbora::weight_view w(dense.data(), 96, 256);
  CHECK_ERROR(sbora::shape_error, "rows_of: rows 3 to 97, expected some of 0 to 96", rows_of(w, {3, 97}));
  CHECK_ERROR(sbora::shape_error, "rows -1 to 9", rows_of(w, {-1, 9}));
  CHECK_ERROR(sbora::shape_error, "columns 9 to 9", columns_of(w, {9, 9}));
  CHECK_ERROR(sbora::shape_error, "columns 10 to 9", columns_of(w, {10, 9}));
  const sbora::four_bit_weight codes(w), nested(w, {.nested = true});
  const sbora::four_bit_weight uneven(sbora::weight_view(dense.data(), 64, 80));
  CHECK_ERROR(sbora::quantization_error, "within the 64 elements that share a scale",
              columns_of(codes.view(), {32, 256}));
  CHECK_ERROR(sbora::quantization_error, "begin at a multiple of 4 rows", rows_of(uneven.view(), {2, 4}));
  CHECK_ERROR(sbora::quantization_error, "within the 16384 elements that share a scale; begin at a multiple of 64 rows",
              rows_of(nested.view(), {1, 9}));
  const fp8_codes fp8(300, 270, sbora::fp8_scaling::block_128, 3);
  CHECK_ERROR(sbora::quantization_error, "begin at multiples of 128", rows_of(fp8.view(), {64, 300}));
  CHECK_ERROR(sbora::quantization_error, "begin at multiples of 128", columns_of(fp8.view(), {129, 270}));
}
