// What several deltas of both kinds add to the rows of a weight: against sums in double, in pieces, as rows of a file,
// into codes, and on several threads.

#include <numeric>

#include <sbora/adapters/transposed.hpp>
#include <sbora/executors/thread_pool.hpp>
#include <sbora/quantized.hpp>
#include <sbora/sbora.hpp>

#include "support/catch.hpp"
#include "support/matrices.hpp"
#include "support/message.hpp"

using namespace sbora_tests;
using sbora::adapter_kind;
using sbora::storage;
using sbora::detail::merged_row;

namespace {

/// Two FAs that share columns, an FB, an FB seen as FA of the transpose, and one that is disabled; their elements
/// cross, so that the order counts.
struct several_deltas {
  several_deltas(index_t d_out, index_t d_in)
      : first(d_out, d_in, sbora::sample_region(d_in, std::min<index_t>(d_in, 5), 1), {.alpha = 3}),
        second(d_out, d_in, sbora::sample_region(d_in, d_in, 2), {.alpha = 20}),
        rows(d_out, d_in, sbora::sample_region(d_out, std::min<index_t>(d_out, 4), 3), {.alpha = 2}),
        other_way(d_in, d_out, sbora::sample_region(d_in, std::min<index_t>(d_in, 3), 4), {.alpha = 5}),
        disabled(d_out, d_in, sbora::sample_region(d_out, 1, 5)) {
    std::uint64_t seed = 7;
    for (const std::span<float> values :
         {first.parameters(), second.parameters(), rows.parameters(), other_way.parameters(), disabled.parameters()}) {
      fill_random(values, seed++);
    }
    disabled.set_enabled(false);
  }

  std::vector<sbora::weight_delta<float>> all() {
    return {first.delta(), rows.delta(), second.delta(), sbora::transposed(other_way).delta(), disabled.delta()};
  }
  /// Without whole rows, or without columns (out_by_in).
  std::vector<sbora::weight_delta<float>> of_columns() { return {second.delta(), first.delta()}; }
  std::vector<sbora::weight_delta<float>> of_rows() { return {rows.delta(), disabled.delta()}; }

  sbora::fa_adapter<float> first, second;
  sbora::fb_adapter<float> rows, other_way, disabled;
};

/// Plain loops: what the deltas add to W, in double, and by how much float sums of it may be off.
struct exact_sum {
  exact_matrix value, magnitude;

  exact_sum(exact_matrix w, std::span<const sbora::weight_delta<float>> deltas)
      : value(std::move(w)), magnitude(value.cwiseAbs()) {
    for (const sbora::weight_delta<float>& delta : deltas) {
      if (!delta.enabled) continue;
      const bool fa = delta.kind == adapter_kind::fa;
      const index_t rank = delta.rank(), lines = fa ? delta.d_out : delta.d_in;
      for (index_t j = 0; j < rank; ++j) {
        const index_t index = delta.target->indices()[static_cast<std::size_t>(j)];
        for (index_t line = 0; line < lines; ++line) {
          const index_t at = fa != delta.transposed ? line * rank + j : j * lines + line;
          const long double added = static_cast<long double>(delta.scale) * delta.parameters[at];
          (fa ? value(line, index) : value(index, line)) += added;
          (fa ? magnitude(line, index) : magnitude(index, line)) += std::abs(added);
        }
      }
    }
  }
};

constexpr std::pair<index_t, index_t> sizes[] = {{1, 1}, {33, 7}, {5, 1030}, {70, 2100}};

template <class Scalar>
exact_matrix exactly(const std::vector<Scalar>& values, index_t rows, index_t cols) {
  exact_matrix result(rows, cols);
  for (index_t i = 0; i < rows * cols; ++i) {
    result(i / cols, i % cols) = static_cast<float>(values[static_cast<std::size_t>(i)]);
  }
  return result;
}

/// The tensor's rows by merge_rows, from bytes at an odd address.
template <class Scalar>
std::vector<Scalar> merged_tensor(const std::vector<Scalar>& values, const merged_row& merged, index_t rows,
                                  sbora::any_executor pool) {
  using stored = typename sbora::detail::storage_type<Scalar>::type;
  std::vector<char> bytes(values.size() * sizeof(Scalar) + 1);
  std::memcpy(bytes.data() + 1, values.data(), values.size() * sizeof(Scalar));
  std::vector<Scalar> out(values.size());
  const index_t width = std::ssize(values) / rows;
  const index_t half = rows / 2;  // in two windows
  for (const auto& [begin, end] : {std::pair{index_t{0}, half}, {half, rows}}) {
    const index_t fault = merged.merge_rows(begin, end, width,
                                            bytes.data() + 1 + static_cast<std::size_t>(begin * width) * sizeof(Scalar),
                                            reinterpret_cast<stored*>(out.data() + begin * width), pool);
    REQUIRE(fault == -1);
  }
  return out;
}

template <class Scalar>
void check_rows(index_t d_out, index_t d_in, storage order, std::vector<sbora::weight_delta<float>> deltas) {
  CAPTURE(d_out, d_in, order == storage::out_by_in, deltas.size());
  const index_t rows = order == storage::out_by_in ? d_out : d_in, cols = d_out * d_in / rows;
  const auto values = random_vector<Scalar>(rows * cols, 11);
  const merged_row merged(deltas, order);
  sbora::serial_executor alone;
  sbora::thread_pool two(2);
  const auto result = merged_tensor(values, merged, rows, alone);
  CHECK(same_bits<Scalar>(merged_tensor(values, merged, rows, two), result));

  exact_matrix w = exactly(values, rows, cols), got = exactly(result, rows, cols);
  if (order == storage::in_by_out) w.transposeInPlace(), got.transposeInPlace();
  const exact_sum expected(w, deltas);
  const auto roundings = static_cast<index_t>(2 * deltas.size());
  const long double unit = std::is_same_v<Scalar, float>             ? 0.0L
                           : std::is_same_v<Scalar, Eigen::bfloat16> ? 0x1p-8L
                                                                     : 0x1p-11L;
  const std::string differs =
      first_difference(got, expected.value, expected.magnitude, gamma_of<float>(roundings) + unit * 1.001L);
  CHECK(differs == "");

  // Untouched elements keep their bits.
  for (index_t row = 0; row < rows; ++row) {
    for (index_t k = 0; k < cols; ++k) {
      const auto at = static_cast<std::size_t>(row * cols + k);
      if (merged.touches(row, k, k + 1) || std::memcmp(&values[at], &result[at], sizeof(Scalar)) == 0) continue;
      FAIL("row " << row << ", column " << k);
    }
  }

  // An export in float, and elements of a row in any pieces, have the bits of the file's rows before they are rounded.
  const sbora::weight_view<const Scalar> view(values.data(), d_out, d_in, 0, order);
  std::vector<Scalar> exported(values.size());
  sbora::export_merged(view, deltas, sbora::weight_view<Scalar>(exported.data(), d_out, d_in, 0, order), two);
  CHECK(same_bits<Scalar>(exported, result));
}

}  // namespace

TEMPLATE_TEST_CASE("rows of a tensor, merged with several deltas of both kinds", "", float, Eigen::bfloat16,
                   Eigen::half) {
  for (const auto& [d_out, d_in] : sizes) {
    several_deltas some(d_out, d_in);
    for (const storage order : {storage::out_by_in, storage::in_by_out}) {
      check_rows<TestType>(d_out, d_in, order, some.all());
      check_rows<TestType>(d_out, d_in, order, some.of_columns());
      check_rows<TestType>(d_out, d_in, order, some.of_rows());
      check_rows<TestType>(d_out, d_in, order, {});
    }
  }
}

TEST_CASE("a row in pieces has the bits of the whole") {
  several_deltas some(6, 50);
  const auto deltas = some.all();
  for (const storage order : {storage::out_by_in, storage::in_by_out}) {
    const index_t rows = order == storage::out_by_in ? 6 : 50, cols = 300 / rows;
    const merged_row merged(deltas, order);
    for (index_t row = 0; row < rows; ++row) {
      const auto values = random_vector<float>(cols, 3);
      auto whole = values, pieces = values;
      merged.add(row, 0, cols, whole.data());
      for (index_t begin = 0; begin < cols;) {
        const index_t end = std::min(cols, begin + 1 + begin % 7);
        merged.add(row, begin, end, pieces.data() + begin);
        begin = end;
      }
      CHECK(same_bits<float>(whole, pieces));
    }
  }
}

TEST_CASE("which rows and columns are touched") {
  const sbora::fa_adapter<float> columns(9, 20, sbora::region(20, {17, 3}));
  const sbora::fa_adapter<float> more(9, 20, sbora::region(20, {4, 3}));
  const sbora::fb_adapter<float> rows(9, 20, sbora::region(9, {8, 1}));
  const std::array deltas = {columns.delta(), rows.delta(), more.delta()};
  const merged_row merged(deltas);
  CHECK(merged.columns() == std::vector<index_t>{3, 4, 17});
  CHECK(merged.rows() == std::vector<index_t>{1, 8});
  CHECK(merged.touches(0, 4, 5));
  CHECK_FALSE(merged.touches(0, 5, 17));
  CHECK_FALSE(merged.touches(0, 18, 20));
  CHECK(merged.touches(8, 5, 6));
  const merged_row transposed(deltas, storage::in_by_out);
  CHECK(transposed.rows() == merged.columns());
  CHECK(transposed.columns() == merged.rows());
  CHECK(merged_row({}).empty());
}

TEST_CASE("the first element that isn't finite is found, on any executor and as it is stored") {
  const index_t d_out = 300, d_in = 500;  // several tasks
  sbora::fa_adapter<float> columns(d_out, d_in, sbora::region(d_in, {499, 3}), {.alpha = 2});
  sbora::fb_adapter<float> rows(d_out, d_in, sbora::region(d_out, {200}), {.alpha = 1});
  columns.matrix()(290, 0) = std::numeric_limits<float>::infinity();
  columns.matrix()(150, 0) = 66000;  // a half overflows, a bfloat16 doesn't
  rows.matrix()(0, 77) = std::numeric_limits<float>::quiet_NaN();
  const std::array deltas = {columns.delta(), rows.delta()};
  const std::vector<Eigen::half> halves(static_cast<std::size_t>(d_out * d_in));
  const std::vector<Eigen::bfloat16> wide(halves.size());
  sbora::serial_executor alone;
  sbora::thread_pool two(2);
  for (const sbora::any_executor pool : {sbora::any_executor(alone), sbora::any_executor(two)}) {
    std::vector<sbora::f16> half(halves.size());
    std::vector<sbora::bf16> bfloat(halves.size());
    const merged_row merged(deltas);
    CHECK(merged.merge_rows(0, d_out, d_in, halves.data(), half.data(), pool) == 150 * d_in + 499);
    CHECK(merged.merge_rows(0, d_out, d_in, wide.data(), bfloat.data(), pool) == 200 * d_in + 77);
    const merged_row transposed(deltas, storage::in_by_out);
    CHECK(transposed.merge_rows(0, d_in, d_out, halves.data(), half.data(), pool) == 77 * d_out + 200);
  }
}

TEST_CASE("several deltas into codes, in tasks: the same codes and report on any executor") {
  const index_t d_out = 90, d_in = 1030;  // more than a task, and blocks that straddle rows
  several_deltas some(d_out, d_in);
  const auto values = random_vector<float>(d_out * d_in, 3);
  const sbora::weight_view<const float> view(values.data(), d_out, d_in);
  for (const bool nested : {false, true}) {
    for (const auto& deltas : {some.all(), some.of_rows()}) {
      const sbora::four_bit_weight before(view, {.nested = nested});
      sbora::four_bit_weight one = before, both = before;
      sbora::thread_pool two(2);
      const sbora::requantize_report report = sbora::merge_requantized(one, deltas);
      const sbora::requantize_report same = sbora::merge_requantized(both, deltas, two);
      CHECK(report.blocks == same.blocks);
      CHECK(report.max_error == same.max_error);
      CHECK(report.mean_error == same.mean_error);
      std::vector<float> wanted(values.size()), a(values.size()), b(values.size());
      const auto into = [&](std::vector<float>& out) { return sbora::weight_view<float>(out.data(), d_out, d_in); };
      sbora::export_merged(before.view(), deltas, into(wanted));
      sbora::dequantize(one.view(), into(a));
      sbora::dequantize(both.view(), into(b));
      CHECK(same_bits<float>(a, b));
      double worst = 0;
      for (std::size_t i = 0; i < a.size(); ++i) {
        worst = std::max(worst, std::abs(static_cast<double>(a[i]) - static_cast<double>(wanted[i])));
      }
      if (deltas.size() > 2) CHECK(worst == report.max_error);  // every block is touched
    }
  }
  some.rows.matrix()(1, 999) = std::numeric_limits<float>::infinity();
  sbora::four_bit_weight codes(view), untouched(view);
  const auto deltas = some.all();
  const std::string place = "row " + std::to_string(some.rows.target().indices()[1]) + ", column 999";
  CHECK_ERROR(sbora::not_finite_error, place, sbora::merge_requantized(codes, deltas));
  std::vector<float> a(values.size()), b(values.size());
  sbora::dequantize(codes.view(), sbora::weight_view<float>(a.data(), d_out, d_in));
  sbora::dequantize(untouched.view(), sbora::weight_view<float>(b.data(), d_out, d_in));
  CHECK(same_bits<float>(a, b));
}
