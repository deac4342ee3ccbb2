// With set_batch_invariant, a token has the same bits alone, in any batch and at any place of it.

#include <sbora/executors/thread_pool.hpp>
#include <sbora/layers/mixed.hpp>
#include <sbora/quantized.hpp>

#include "support/catch.hpp"
#include "support/fp8_codes.hpp"
#include "support/ggml_blocks.hpp"
#include "support/layer_problem.hpp"
#include "support/sanitizers.hpp"

using namespace sbora_tests;
using sbora::adapter_kind;

namespace {

constexpr index_t d_out = 150, d_in = 192, most = 70;
constexpr int batches = under_asan ? 40 : 1000;

template <class T>
using matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// `batches` random batches of rows of x through forward(x, y), of which each row has to be that of a batch of its own.
template <class Scalar, class Forward>
void check_batches(const matrix<Scalar>& x, index_t outputs, const Forward& forward, int count = batches) {
  matrix<Scalar> alone(x.rows(), outputs);
  for (index_t t = 0; t < x.rows(); ++t) {
    const matrix<Scalar> one = x.row(t);
    matrix<Scalar> y(1, outputs);
    forward(one, y, std::vector<index_t>{t});
    alone.row(t) = y;
  }
  sbora::random_stream random(3);
  for (int batch = 0; batch < count; ++batch) {
    const index_t size = 1 + random.below(batch % 2 == 0 ? most : 9);
    std::vector<index_t> tokens(static_cast<std::size_t>(size));
    for (index_t& token : tokens) token = random.below(x.rows());
    matrix<Scalar> some(size, x.cols()), y(size, outputs);
    for (index_t i = 0; i < size; ++i) some.row(i) = x.row(tokens[static_cast<std::size_t>(i)]);
    forward(some, y, tokens);
    index_t different = 0;
    for (index_t i = 0; i < size; ++i) {
      const Scalar* const expected = &alone(tokens[static_cast<std::size_t>(i)], 0);
      different += std::memcmp(&y(i, 0), expected, sizeof(Scalar) * static_cast<std::size_t>(outputs)) != 0 ? 1 : 0;
    }
    CAPTURE(batch, size);
    CHECK(different == 0);
  }
}

template <class Scalar>
matrix<Scalar> random_matrix(index_t rows, index_t cols, std::uint64_t seed) {
  matrix<Scalar> m(rows, cols);
  sbora::random_stream random(seed);
  for (index_t i = 0; i < m.size(); ++i) m.data()[i] = Scalar(static_cast<float>(random.uniform() - 0.5));
  return m;
}

/// Forward and dX of a layer, alone and with adapters on every path: `batches` of all four together.
template <class Scalar, class Weight>
void check_layer(const Weight& weight) {
  sbora::linear<Weight> layer(weight);
  layer.set_batch_invariant(true);
  CHECK(layer.batch_invariant());
  sbora::workspace memory;
  sbora::thread_pool pool(2);
  layer_problem<adapter_kind::fa, float> fa({.d_out = d_out, .d_in = d_in, .rank = 9});
  layer_problem<adapter_kind::fb, float> fb({.d_out = d_out, .d_in = d_in, .rank = 5});
  const std::array deltas = {fa.adapter.delta(), fb.adapter.delta()};
  const auto x = random_matrix<Scalar>(most, d_in, 1);
  check_batches<Scalar>(
      x, d_out, [&](const auto& some, auto& y, const auto&) { layer.forward(some, y, memory, pool); }, batches / 4);
  check_batches<Scalar>(
      random_matrix<Scalar>(most, d_out, 2), d_in,
      [&](const auto& some, auto& dx, const auto&) { layer.backward(some, dx, memory); }, batches / 4);
  for (const auto path : {sbora::delta_path::automatic, sbora::delta_path::separate}) {
    layer.set_delta_path(path);
    check_batches<Scalar>(
        x, d_out, [&](const auto& some, auto& y, const auto&) { layer.forward(some, y, deltas, memory); }, batches / 4);
  }
}

}  // namespace

TEST_CASE("a layer over dense weights") {
  const auto f32 = random_matrix<float>(d_out, d_in, 4);
  const auto bf16 = random_matrix<Eigen::bfloat16>(d_out, d_in, 5);
  const auto f16 = random_matrix<Eigen::half>(d_out, d_in, 6);
  const matrix<float> transposed = f32.transpose();
  check_layer<float>(sbora::weight_view(f32));
  check_layer<float>(sbora::fan_in_fan_out(transposed));
  check_layer<float>(sbora::weight_view(bf16));
  check_layer<Eigen::bfloat16>(sbora::weight_view(bf16));
  check_layer<float>(sbora::weight_view(f16));
}

TEST_CASE("a layer over codes") {
  const auto f32 = random_matrix<float>(d_out, d_in, 7);
  const sbora::four_bit_weight nf4(sbora::weight_view{f32});
  const sbora::int8_weight int8(sbora::weight_view{f32});
  check_layer<float>(nf4.view());
  check_layer<Eigen::bfloat16>(nf4.view());
  check_layer<float>(int8.view());
  check_layer<float>(fp8_codes(d_out, d_in, sbora::fp8_scaling::row, 8).view());
  check_layer<float>(ggml_blocks(d_out, d_in, sbora::ggml_type::q4_0, 9).view());
}

TEST_CASE("a batch of many adapters") {
  const auto weight = random_matrix<float>(d_out, d_in, 8);
  sbora::linear layer{sbora::weight_view(weight)};
  layer.set_batch_invariant(true);
  std::vector<sbora::fa_adapter<float>> fa;
  std::vector<sbora::fb_adapter<float>> fb;
  sbora::delta_list<float> deltas;
  for (index_t i = 0; i < 3; ++i) {
    const auto seed = static_cast<std::uint64_t>(i);
    fa.emplace_back(d_out, d_in, sbora::sample_region(d_in, 3 + 20 * i, seed));
    fb.emplace_back(d_out, d_in, sbora::sample_region(d_out, 3 + 20 * i, seed));
    fill_random(fa.back().parameters(), seed);
    fill_random(fb.back().parameters(), seed + 1);
  }
  for (index_t i = 0; i < 3; ++i) {
    deltas.push_back(fa[static_cast<std::size_t>(i)].delta());
    deltas.push_back(fb[static_cast<std::size_t>(i)].delta());
  }
  for (auto& delta : deltas) delta.batch_invariant = true;
  sbora::workspace memory;
  sbora::adapter_rows rows;
  check_batches<float>(random_matrix<float>(most, d_in, 9), d_out,
                       [&](const auto& x, auto& y, const std::vector<index_t>& tokens) {
                         std::vector<index_t> ids;
                         for (const index_t token : tokens) ids.push_back(token % 7 - 1);
                         rows.assign(ids, 6);
                         layer.forward(x, y, memory);
                         sbora::mixed_forward(deltas, rows, x, y, memory);
                       });
}
