// An embedding table with adapters: rows are those of a table that the adapter is merged into, gradients those of the
// dense definition, and a tied head shares both.

#include <sbora/adapters/transposed.hpp>
#include <sbora/executors/thread_pool.hpp>
#include <sbora/layers/embedding.hpp>
#include <sbora/layers/linear.hpp>
#include <sbora/merge/export_merged.hpp>
#include <sbora/merge/merger.hpp>
#include <sbora/optimisers/adamw.hpp>
#include <sbora/optimisers/sparse_step.hpp>
#include <sbora/weights/quantize.hpp>

#include "support/catch.hpp"
#include "support/fp8_codes.hpp"
#include "support/ggml_blocks.hpp"
#include "support/layer_problem.hpp"
#include "support/message.hpp"

using namespace sbora_tests;
using sbora::adapter_kind;

namespace {

constexpr index_t vocabulary = 83, features = 70;

template <class T>
using matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

template <class Scalar>
matrix<Scalar> random_table(std::uint64_t seed) {
  matrix<Scalar> table(vocabulary, features);
  sbora::random_stream random(seed);
  for (index_t i = 0; i < table.size(); ++i) table.data()[i] = Scalar(static_cast<float>(random.uniform() - 0.5));
  return table;
}

/// With duplicates.
std::vector<std::int32_t> random_ids(index_t tokens, std::uint64_t seed) {
  sbora::random_stream random(seed);
  std::vector<std::int32_t> ids;
  for (index_t t = 0; t < tokens; ++t) ids.push_back(static_cast<std::int32_t>(random.below(vocabulary)));
  ids.push_back(ids.front());
  ids.push_back(vocabulary - 1);
  return ids;
}

template <adapter_kind Kind>
sbora::basic_adapter<Kind, float> adapter_of(index_t rank, std::uint64_t seed) {
  const index_t dim = Kind == adapter_kind::fa ? features : vocabulary;
  sbora::basic_adapter<Kind, float> adapter(vocabulary, features, sbora::sample_region(dim, rank, seed), {.alpha = 3});
  fill_random(adapter.parameters(), seed + 1);
  return adapter;
}

/// Element (row, column) of the adapter's ΔW/s, and whether it is in its region.
template <class Adapter, class Matrix>
long double half_of(const Adapter& a, const Matrix& half, index_t row, index_t column) {
  const auto indices = a.target().indices();
  const index_t index = Adapter::kind == adapter_kind::fa ? column : row;
  for (index_t j = 0; j < a.rank(); ++j) {
    if (indices[static_cast<std::size_t>(j)] != index) continue;
    return Adapter::kind == adapter_kind::fa ? static_cast<long double>(half(row, j))
                                             : static_cast<long double>(half(j, column));
  }
  return 0;
}

template <adapter_kind Kind>
void check_merged_rows() {
  auto table = random_table<float>(1);
  const auto adapter = adapter_of<Kind>(9, 2);
  const auto ids = random_ids(50, 3);
  const sbora::embedding layer{sbora::weight_view(table)};
  padded_matrix<float> y(std::ssize(ids), features, 3), merged(std::ssize(ids), features, 3), shared = y;
  sbora::thread_pool pool(3);
  layer.forward(ids, activation(y), adapter);
  layer.forward(ids, activation(shared), adapter, pool);
  sbora::merger merger{sbora::weight_view(table)};
  merger.merge(adapter);
  layer.forward(ids, activation(merged));
  CHECK(same_bits(y.memory(), merged.memory()));
  CHECK(same_bits(shared.memory(), merged.memory()));
  CHECK(y.padding_intact());
  merger.unmerge(adapter);
  layer.forward(ids, activation(merged));
  CHECK(!same_bits(y.memory(), merged.memory()));
  for (std::size_t t = 0; t < ids.size(); ++t) {
    for (index_t k = 0; k < features; ++k) CHECK(merged(static_cast<index_t>(t), k) == table(ids[t], k));
  }
}

template <class Table>
void check_storage(const Table& table, const matrix<float>& values) {
  const auto fa = adapter_of<adapter_kind::fa>(7, 4);
  const auto fb = adapter_of<adapter_kind::fb>(30, 5);
  const std::array deltas = {fa.delta(), fb.delta()};
  const auto ids = random_ids(40, 6);
  padded_matrix<float> y(std::ssize(ids), features, 1);
  sbora::embedding(table).forward(ids, activation(y), deltas);
  exact_matrix exact(std::ssize(ids), features), magnitude(std::ssize(ids), features);
  for (std::size_t t = 0; t < ids.size(); ++t) {
    for (index_t k = 0; k < features; ++k) {
      const auto row = static_cast<index_t>(t);
      const long double parts[] = {static_cast<long double>(values(ids[t], k)),
                                   static_cast<long double>(fa.scale()) * half_of(fa, fa.matrix(), ids[t], k),
                                   static_cast<long double>(fb.scale()) * half_of(fb, fb.matrix(), ids[t], k)};
      exact(row, k) = parts[0] + parts[1] + parts[2];
      magnitude(row, k) = std::abs(parts[0]) + std::abs(parts[1]) + std::abs(parts[2]);
    }
  }
  CHECK(first_difference(y, exact, magnitude, gamma_of<float>(4)) == "");  // scale, product, two sums
}

template <adapter_kind Kind>
void check_gradient() {
  auto table = random_table<float>(1);
  auto adapter = adapter_of<Kind>(9, 2);
  const auto ids = random_ids(300, 3);
  padded_matrix<float> dy(std::ssize(ids), features, 2);
  dy.randomise(4);
  const sbora::embedding layer{sbora::weight_view(table)};
  fill_random(adapter.gradient(), 5);
  const std::vector<float> before(adapter.gradient().begin(), adapter.gradient().end());
  exact_matrix exact = exact_of(adapter.gradient_matrix()), magnitude = exact.cwiseAbs();
  layer.backward(ids, activation(dy), adapter);
  const std::vector<float> gradient(adapter.gradient().begin(), adapter.gradient().end());

  const auto indices = adapter.target().indices();
  for (std::size_t t = 0; t < ids.size(); ++t) {
    for (index_t j = 0; j < adapter.rank(); ++j) {
      const index_t index = indices[static_cast<std::size_t>(j)];
      const auto add = [&](index_t row, index_t column, index_t feature) {
        const long double term =
            static_cast<long double>(adapter.scale()) * static_cast<long double>(dy(static_cast<index_t>(t), feature));
        exact(row, column) += term;
        magnitude(row, column) += std::abs(term);
      };
      if (Kind == adapter_kind::fa) add(ids[t], j, index);
      else if (ids[t] == index) {
        for (index_t k = 0; k < features; ++k) add(j, k, k);
      }
    }
  }
  CHECK(first_difference(adapter.gradient_matrix(), exact, magnitude, gamma_of<float>(std::ssize(ids) + 3)) == "");

  sbora::thread_pool pool(3);
  std::copy(before.begin(), before.end(), adapter.gradient().begin());
  layer.backward(ids, activation(dy), adapter, pool);
  CHECK(same_bits<float>(adapter.gradient(), gradient));
}

template <adapter_kind Kind>
void check_sparse_step() {
  auto dense = adapter_of<Kind>(9, 2), sparse = adapter_of<Kind>(9, 2);
  auto table = random_table<float>(1);
  const sbora::embedding layer{sbora::weight_view(table)};
  const auto ids = random_ids(12, 7);
  padded_matrix<float> dy(std::ssize(ids), features, 0);
  dy.randomise(4);
  sbora::adamw<float> of_dense(dense.parameter_count()), of_sparse(sparse.parameter_count());
  sbora::seen_rows seen;
  const std::vector<float> before(sparse.parameters().begin(), sparse.parameters().end());
  for (int step = 0; step < 3; ++step) {
    for (auto* a : {&dense, &sparse}) {
      a->zero_gradient();
      layer.backward(ids, activation(dy), *a);
    }
    seen.assign(ids, sparse.delta());
    of_dense.step(dense.parameters(), dense.gradient(), {1e-2});
    sparse_step(of_sparse, sparse.parameters(), sparse.gradient(), seen, {1e-2});
  }
  CHECK(of_sparse.steps() == 3);
  std::vector<bool> is_seen(before.size());
  for (const auto& range : seen.ranges()) {
    for (index_t i = range.begin; i < range.end; ++i) is_seen[static_cast<std::size_t>(i)] = true;
  }
  index_t inside = 0;
  for (std::size_t i = 0; i < before.size(); ++i) {
    if (!is_seen[i]) {
      CHECK(dense.gradient()[i] == 0);
      CHECK(sparse.parameters()[i] == before[i]);
      continue;
    }
    ++inside;
    CHECK(sparse.parameters()[i] == dense.parameters()[i]);
  }
  CHECK((inside > 0 && inside < std::ssize(before)));
}

}  // namespace

TEST_CASE("rows have the bits of a merged table's") {
  check_merged_rows<adapter_kind::fa>();
  check_merged_rows<adapter_kind::fb>();
}

TEST_CASE("tables of every storage") {
  const auto f32 = random_table<float>(8);
  check_storage(sbora::weight_view(f32), f32);
  const auto bf16 = random_table<Eigen::bfloat16>(9);
  check_storage(sbora::weight_view(bf16), bf16.cast<float>());
  const auto f16 = random_table<Eigen::half>(10);
  check_storage(sbora::weight_view(f16), f16.cast<float>());
  const matrix<float> transposed = f32.transpose();
  check_storage(sbora::fan_in_fan_out(transposed), f32);
  matrix<float> values(vocabulary, features);
  const sbora::four_bit_weight nf4(sbora::weight_view{f32});
  sbora::dequantize(nf4.view(), sbora::weight_view(values));
  check_storage(nf4.view(), values);
  const sbora::int8_weight int8(sbora::weight_view{f32});
  sbora::dequantize(int8.view(), sbora::weight_view(values));
  check_storage(int8.view(), values);
  for (const sbora::fp8_scaling scaling : all_fp8_scalings) {
    const fp8_codes fp8(vocabulary, features, scaling, 12);
    sbora::dequantize(fp8.view(), sbora::weight_view(values));
    check_storage(fp8.view(), values);
  }
}

TEST_CASE("tables of ggml's blocks") {
  for (const sbora::ggml_type type : all_ggml_types) {
    const ggml_blocks blocks(vocabulary, 256, type, 13);
    const std::vector<int> ids = {3, vocabulary - 1, 0, 3};
    padded_matrix<float> y(std::ssize(ids), 256, 1);
    sbora::embedding(blocks.view()).forward(ids, activation(y));
    for (std::size_t t = 0; t < ids.size(); ++t) {
      for (index_t k = 0; k < 256; ++k) CHECK(y(static_cast<index_t>(t), k) == blocks.value(ids[t], k));
    }
  }
}

TEST_CASE("gradients are those of the dense definition") {
  check_gradient<adapter_kind::fa>();
  check_gradient<adapter_kind::fb>();
}

/// In eighths, which float adds and multiplies exactly here; of degree 2 in each number. So differences are exact.
TEST_CASE("gradients of an embedding and its tied head are central differences") {
  constexpr index_t rows = 11, columns = 6, tokens = 5;
  sbora::random_stream random(2);
  const auto fill = [&](auto&& values) {
    for (float& value : values) value = static_cast<float>(random.below(17) - 8) / 8;
  };
  std::vector<float> table(rows * columns), dy(tokens * rows);
  fill(table), fill(dy);
  const sbora::weight_view<const float> view(table.data(), rows, columns);
  const sbora::embedding input{view};
  const sbora::linear head{view};
  const std::vector<int> ids = {4, 0, 4, 10, 7};
  const auto view_of = [](auto& values, index_t width) { return sbora::activation_view(values.data(), tokens, width); };
  const auto check = [&](auto adapter, auto saved) {
    fill(adapter.parameters());
    sbora::workspace memory;
    std::vector<float> x(tokens * columns), y(tokens * rows);  // saved refers to x
    const auto loss = [&] {
      input.forward(ids, view_of(x, columns), adapter);
      head.forward(view_of(std::as_const(x), columns), view_of(y, rows), adapter, saved, memory);
      return std::inner_product(y.begin(), y.end(), dy.begin(), 0.0);
    };
    loss();
    std::vector<float> dx(tokens * columns);
    head.backward(view_of(std::as_const(dy), rows), view_of(dx, columns), adapter, saved, memory);
    input.backward(ids, view_of(std::as_const(dx), columns), adapter);
    index_t not_zero = 0;
    for (std::size_t i = 0; i < adapter.parameters().size(); ++i) {
      float& value = adapter.parameters()[i];
      value += 0.125F;
      const double up = loss();
      value -= 0.25F;
      CHECK(adapter.gradient()[i] == (up - loss()) * 4);
      value += 0.125F;
      not_zero += adapter.gradient()[i] != 0;
    }
    CHECK(not_zero > 10);
  };
  check(sbora::fa_adapter<float>(rows, columns, sbora::region(columns, {4, 1}), {.alpha = 2}),
        sbora::fa_saved<float>());
  check(sbora::fb_adapter<float>(rows, columns, sbora::region(rows, {0, 4, 9}), {.alpha = 3}),
        sbora::fb_saved<float>());
}

TEST_CASE("a step of the rows that were seen") {
  check_sparse_step<adapter_kind::fa>();
  check_sparse_step<adapter_kind::fb>();
}

TEST_CASE("a transposed adapter has no rows of the vocabulary to be seen") {
  sbora::fa_adapter<float> adapter(features, vocabulary, sbora::sample_region(vocabulary, 3, 1));
  sbora::seen_rows seen;
  const std::vector<int> ids = {1};
  CHECK_ERROR(sbora::config_error, "take the dense step", seen.assign(ids, sbora::transposed(adapter).delta()));
}

TEST_CASE("a tied head: one adapter, one gradient") {
  auto table = random_table<float>(11);
  auto adapter = adapter_of<adapter_kind::fb>(9, 12);
  const auto ids = random_ids(20, 13);
  const sbora::embedding input{sbora::weight_view(table)};
  const sbora::linear head{sbora::weight_view(table)};
  padded_matrix<float> x(std::ssize(ids), features, 0), y(std::ssize(ids), vocabulary, 0),
      dy(std::ssize(ids), vocabulary, 0), dx(std::ssize(ids), features, 0);
  dy.randomise(14);
  sbora::workspace memory;
  sbora::fb_saved<float> saved;
  input.forward(ids, activation(x), adapter);
  head.forward(activation(x), activation(y), adapter, saved, memory);
  head.backward(activation(dy), activation(dx), adapter, saved, memory);
  const std::vector<float> of_head(adapter.gradient().begin(), adapter.gradient().end());
  input.backward(ids, activation(dx), adapter);
  std::vector<float> both(adapter.gradient().begin(), adapter.gradient().end());
  adapter.zero_gradient();
  input.backward(ids, activation(dx), adapter);
  for (std::size_t i = 0; i < both.size(); ++i) {
    const float sum = of_head[i] + adapter.gradient()[i];
    CHECK(std::abs(both[i] - sum) <= 32 * 0x1p-23F * (std::abs(of_head[i]) + std::abs(adapter.gradient()[i])) + 1e-6F);
  }
}

TEST_CASE("what an embedding refuses, before anything is written") {
  auto table = random_table<float>(1);
  auto adapter = adapter_of<adapter_kind::fb>(9, 2);
  const sbora::embedding layer{sbora::weight_view(table)};
  padded_matrix<float> y(2, features, 0), narrow(2, features - 1, 0);
  y.randomise(3);
  const padded_matrix<float> before = y;
  const std::vector<std::int64_t> high = {0, vocabulary}, low = {-1, 0}, one = {0}, good = {0, 1};
  CHECK_ERROR(sbora::assertion_error, "token id 83 at position 1 is outside [0, 83)",
              layer.forward(high, activation(y), adapter));
  CHECK_ERROR(sbora::assertion_error, "token id -1 at position 0", layer.forward(low, activation(y)));
  CHECK_ERROR(sbora::assertion_error, "another number of token ids: 1, now 2", layer.forward(one, activation(y)));
  CHECK_ERROR(sbora::assertion_error, "the table's features is 70", layer.forward(good, activation(narrow)));
  sbora::fb_adapter<float> other(vocabulary, 5, sbora::sample_region(vocabulary, 3, 1));
  CHECK_ERROR(sbora::assertion_error, "another shape", layer.forward(good, activation(y), other));
  sbora::fb_adapter<float> dropping(vocabulary, features, sbora::sample_region(vocabulary, 3, 1), {.dropout = 0.5});
  CHECK_ERROR(sbora::assertion_error, "no dropout", layer.backward(good, activation(y), dropping));
  CHECK_ERROR(sbora::assertion_error, "token id 83", layer.backward(high, activation(y), adapter));
  CHECK(same_bits(y.memory(), before.memory()));
}
