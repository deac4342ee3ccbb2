// Views of weights that somebody else owns: what each Eigen object turns into, and what is rejected.

#include <sbora/weights/weight_view.hpp>

#include <cstdint>

#include "support/message.hpp"

using Eigen::Dynamic;
using sbora::fan_in_fan_out;
using sbora::index_t;
using sbora::shape_error;
using sbora::storage;
using sbora::weight_view;

template <class T>
using row_major = Eigen::Matrix<T, Dynamic, Dynamic, Eigen::RowMajor>;
template <class T>
using column_major = Eigen::Matrix<T, Dynamic, Dynamic>;

namespace {

template <class View>
bool is(const View& view, const void* data, index_t d_out, index_t d_in, index_t stride, storage order) {
  return view.data() == data && view.d_out() == d_out && view.d_in() == d_in && view.stride() == stride &&
         view.order() == order && static_cast<const void*>(view.storage_data()) == data;
}

}  // namespace

TEMPLATE_TEST_CASE("pointers and matrices of every scalar type", "", float, double, Eigen::bfloat16, Eigen::half) {
  TestType memory[60];
  CHECK(is(weight_view(memory, 5, 7), memory, 5, 7, 7, storage::out_by_in));
  CHECK(is(weight_view(memory, 5, 7, 12), memory, 5, 7, 12, storage::out_by_in));
  CHECK(is(weight_view(memory, 5, 7, 0, storage::in_by_out), memory, 5, 7, 5, storage::in_by_out));
  CHECK(is(weight_view(memory + 1, 5, 7, 8, storage::in_by_out), memory + 1, 5, 7, 8, storage::in_by_out));
  row_major<TestType> w(5, 7);
  CHECK(is(weight_view(w), w.data(), 5, 7, 7, storage::out_by_in));
  column_major<TestType> c(5, 7);
  CHECK(is(weight_view(c), c.data(), 5, 7, 5, storage::in_by_out));

  using view = weight_view<TestType>;
  STATIC_REQUIRE(std::is_same_v<decltype(weight_view(w)), view>);
  STATIC_REQUIRE(std::is_same_v<typename view::compute_scalar,
                                std::conditional_t<std::is_same_v<TestType, double>, double, float>>);
  STATIC_REQUIRE(sizeof(typename view::storage_scalar) == sizeof(TestType));
  STATIC_REQUIRE(view::writable);
}

TEST_CASE("maps, strides, refs and blocks are taken as they lie") {
  float memory[200];
  using stride = Eigen::OuterStride<>;
  const Eigen::Map<row_major<float>, 0, stride> map(memory + 3, 5, 7, stride(12));
  Eigen::Map<row_major<float>, 0, stride> writable(memory + 3, 5, 7, stride(12));
  CHECK(is(weight_view(writable), memory + 3, 5, 7, 12, storage::out_by_in));
  CHECK(is(weight_view(map), memory + 3, 5, 7, 12, storage::out_by_in));
  Eigen::Map<column_major<float>, 0, stride> columns(memory, 5, 7, stride(9));
  CHECK(is(weight_view(columns), memory, 5, 7, 9, storage::in_by_out));

  row_major<float> w(10, 12);
  auto block = w.block(2, 3, 4, 5);
  CHECK(is(weight_view(block), w.data() + 2 * 12 + 3, 4, 5, 12, storage::out_by_in));
  Eigen::Ref<row_major<float>> ref(w);
  CHECK(is(weight_view(ref), w.data(), 10, 12, 12, storage::out_by_in));
  auto transposed = w.transpose();
  CHECK(is(weight_view(transposed), w.data(), 12, 10, 12, storage::in_by_out));

  Eigen::Matrix<float, 3, 4, Eigen::RowMajor> fixed;
  CHECK(is(weight_view(fixed), fixed.data(), 3, 4, 4, storage::out_by_in));
  Eigen::VectorXf column(6);
  CHECK(is(weight_view(column), column.data(), 6, 1, 6, storage::in_by_out));
  Eigen::RowVectorXf row(6);
  CHECK(is(weight_view(row), row.data(), 1, 6, 6, storage::out_by_in));
}

TEST_CASE("a temporary map is fine, since it owns nothing") {
  float memory[35];
  CHECK(is(weight_view(Eigen::Map<row_major<float>>(memory, 5, 7)), memory, 5, 7, 7, storage::out_by_in));
  const auto read_only = weight_view(Eigen::Map<const row_major<float>>(memory, 5, 7));
  CHECK(is(read_only, memory, 5, 7, 7, storage::out_by_in));
  STATIC_REQUIRE_FALSE(read_only.writable);
}

TEST_CASE("what is const is read-only") {
  row_major<double> w(3, 4);
  const row_major<double>& const_w = w;
  STATIC_REQUIRE(std::is_same_v<decltype(weight_view(const_w)), weight_view<const double>>);
  Eigen::Map<const row_major<double>> map(w.data(), 3, 4);
  STATIC_REQUIRE(std::is_same_v<decltype(weight_view(map)), weight_view<const double>>);
  Eigen::Ref<const row_major<double>> ref(w);
  STATIC_REQUIRE(std::is_same_v<decltype(weight_view(ref)), weight_view<const double>>);
  const double* const pointer = w.data();
  STATIC_REQUIRE(std::is_same_v<decltype(weight_view(pointer, 3, 4)), weight_view<const double>>);

  const weight_view<const double> converted = weight_view(w);
  CHECK(is(converted, w.data(), 3, 4, 4, storage::out_by_in));
  STATIC_REQUIRE_FALSE(std::is_convertible_v<weight_view<const double>, weight_view<double>>);
}

TEST_CASE("fan_in_fan_out takes rows as inputs") {
  row_major<float> w(7, 5);
  CHECK(is(fan_in_fan_out(w), w.data(), 5, 7, 5, storage::in_by_out));
  column_major<float> c(7, 5);
  CHECK(is(fan_in_fan_out(c), c.data(), 5, 7, 7, storage::out_by_in));
  const row_major<float>& const_w = w;
  STATIC_REQUIRE(std::is_same_v<decltype(fan_in_fan_out(const_w)), weight_view<const float>>);
  using map = Eigen::Map<const row_major<float>>;
  CHECK(is(fan_in_fan_out(map(w.data(), 7, 5)), w.data(), 5, 7, 5, storage::in_by_out));
}

TEST_CASE("a weight without rows or columns is rejected") {
  float memory[4];
  CHECK_ERROR(shape_error, "a weight of 0 x 4, both must be at least 1", weight_view(memory, 0, 4));
  CHECK_ERROR(shape_error, "4 x 0", weight_view(memory, 4, 0));
  CHECK_ERROR(shape_error, "-1 x 4", weight_view(memory, -1, 4));
  row_major<float> empty(0, 4);
  CHECK_ERROR(shape_error, "0 x 4", weight_view{empty});
}

TEST_CASE("null and misaligned pointers are rejected") {
  CHECK_ERROR(shape_error, "data is null", weight_view(static_cast<float*>(nullptr), 2, 2));
  alignas(8) unsigned char bytes[64];
  const auto shifted = [&](auto type, std::uintptr_t by) {
    return reinterpret_cast<decltype(type)*>(reinterpret_cast<std::uintptr_t>(bytes) + by);
  };
  CHECK_ERROR(shape_error, "not aligned to its element of 4", weight_view(shifted(float{}, 2), 2, 2));
  CHECK_ERROR(shape_error, "not aligned to its element of 8", weight_view(shifted(double{}, 4), 2, 2));
  CHECK_ERROR(shape_error, "not aligned to its element of 2", weight_view(shifted(Eigen::bfloat16{}, 1), 2, 2));
  CHECK_NOTHROW(weight_view(shifted(float{}, 4), 2, 2));  // of the element is enough
  CHECK_NOTHROW(weight_view(shifted(Eigen::half{}, 2), 2, 2));
}

TEST_CASE("a stride below the contiguous size is rejected") {
  float memory[64];
  CHECK_ERROR(shape_error, "stride = 6 is below the contiguous size 7", weight_view(memory, 5, 7, 6));
  CHECK_ERROR(shape_error, "stride = 4 is below the contiguous size 5",
              weight_view(memory, 5, 7, 4, storage::in_by_out));
  CHECK_ERROR(shape_error, "stride = -7 is below", weight_view(memory, 5, 7, -7));
  CHECK_NOTHROW(weight_view(memory, 5, 7, 5, storage::in_by_out));
}

// Eigen's maps may have an outer stride of 0: all rows are one. No weight is that, and it isn't "without gaps".
TEST_CASE("a map whose lines are one is no weight") {
  float memory[7];
  using stride = Eigen::OuterStride<>;
  Eigen::Map<row_major<float>, 0, stride> rows(memory, 5, 7, stride(0));
  CHECK_ERROR(shape_error, "stride = 0 is below the contiguous size 7", weight_view{rows});
  CHECK_ERROR(shape_error, "stride = 0 is below the contiguous size 7", fan_in_fan_out(rows));
  Eigen::Map<column_major<float>, 0, stride> columns(memory, 7, 5, stride(0));
  CHECK_ERROR(shape_error, "stride = 0 is below the contiguous size 7", weight_view{columns});
  Eigen::Map<row_major<float>, 0, stride> one(memory, 1, 7, stride(0));
  CHECK(is(weight_view(one), memory, 1, 7, 7, storage::out_by_in));
}
