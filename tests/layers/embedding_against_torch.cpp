// Embeddings, with rows and columns added and with rows replaced, and a tied head: PyTorch's values.

#include <sbora/executors/thread_pool.hpp>
#include <sbora/layers/embedding.hpp>
#include <sbora/layers/linear.hpp>
#include <sbora/merge/token_merger.hpp>
#include <sbora/optimisers/adamw.hpp>
#include <sbora/optimisers/sparse_step.hpp>
#include <sbora/quantized.hpp>

#include "support/catch.hpp"
#include "support/guarded_buffer.hpp"
#include "support/layer_problem.hpp"
#include "support/message.hpp"

using namespace sbora_tests;
using sbora::trainable_tokens;

namespace {

constexpr index_t vocabulary = 7, features = 5;
const std::vector<int> ids = {2, 5, 2, 0, 6, 2};
const sbora::region rows(vocabulary, {6, 2}), columns(features, {3, 1});
constexpr index_t tokens_of_batch = 6;

/// Made by torch.nn.functional.embedding and linear, PyTorch 2.13, of W.index_add(0, rows, s·a),
/// W.index_add(1, columns, s·b) and W.index_copy(0, rows, tokens), s = 1/2; dy and dlogits are the gradients of the
/// results. All are multiples of powers of two that float adds and multiplies exactly.
const std::vector<float> table = {1.03125F,  1.25F,     -0.84375F, -0.78125F, 0.65625F,  0.25F,     0.71875F,
                                  0.125F,    1.5F,      -1.40625F, -1.59375F, -0.96875F, 0.875F,    1.15625F,
                                  1.0F,      -0.09375F, 0.8125F,   -0.21875F, 1.53125F,  -0.90625F, -1.25F,
                                  -1.09375F, 0.25F,     0.46875F,  1.46875F,  -1.75F,    1.15625F,  1.1875F,
                                  -1.03125F, -1.75F,    0.34375F,  1.78125F,  0.0F,      -0.09375F, 1.28125F};
const std::vector<float> dy = {-1.09375F, 1.625F,    -1.875F,   -1.5625F,  -1.15625F, 1.96875F, 1.1875F,  1.15625F,
                               -1.4375F,  -1.03125F, -1.71875F, 1.125F,    -0.15625F, 0.34375F, -1.0625F, -0.0625F,
                               0.09375F,  0.0F,      -1.34375F, 1.4375F,   0.1875F,   -1.0625F, 1.59375F, -1.59375F,
                               1.34375F,  -1.125F,   -0.15625F, -0.21875F, -2.0F,     0.53125F};
const std::vector<float> a = {0.9375F, -0.8125F, 0.5F, 1.03125F, -0.5625F, 0.8125F, -0.8125F, 0.5F, -1.125F, 1.90625F};
const std::vector<float> b = {-0.25F, 1.90625F, 0.9375F,  0.65625F,  1.4375F,   -0.96875F, 1.0F,
                              0.625F, -1.1875F, 0.40625F, -0.28125F, -1.96875F, 1.15625F,  -0.15625F};
const std::vector<float> fb_y = {-1.1875F,  -1.375F,   1.125F,    0.59375F, 1.953125F, -1.75F,   1.15625F,  1.1875F,
                                 -1.03125F, -1.75F,    -1.1875F,  -1.375F,  1.125F,    0.59375F, 1.953125F, 1.03125F,
                                 1.25F,     -0.84375F, -0.78125F, 0.65625F, 0.8125F,   1.375F,   0.25F,     0.421875F,
                                 1.0F,      -1.1875F,  -1.375F,   1.125F,   0.59375F,  1.953125F};
const std::vector<float> fb_gradient = {0.09375F,  -0.53125F, 0.796875F, -0.796875F, 0.671875F,
                                        -1.96875F, 1.296875F, -1.125F,   -1.609375F, -0.84375F};
const std::vector<float> fa_y = {
    -1.59375F, -1.453125F, 0.875F, 1.875F,    1.0F,     -1.75F,    0.171875F,  1.1875F,   -1.171875F, -1.75F,
    -1.59375F, -1.453125F, 0.875F, 1.875F,    1.0F,     1.03125F,  2.203125F,  -0.84375F, -0.90625F,  0.65625F,
    0.34375F,  1.703125F,  0.0F,   0.484375F, 1.28125F, -1.59375F, -1.453125F, 0.875F,    1.875F,     1.0F};
const std::vector<float> fa_gradient = {-0.671875F, 0.046875F, 0.0F, 0.0F,      -1.609375F, 1.296875F,  0.0F,
                                        0.0F,       0.0F,      0.0F, -0.71875F, 0.59375F,   -0.796875F, -0.53125F};
const std::vector<float> tokens = {1.40625F, 0.15625F, 0.75F,     1.15625F, 0.84375F,
                                   0.34375F, 0.46875F, -1.28125F, -0.125F,  -1.4375F};
const std::vector<float> dlogits = {0.65625F,  0.5F,      0.96875F,  -0.46875F, -1.21875F, 0.5625F,   0.46875F,
                                    -0.03125F, 0.84375F,  0.21875F,  -1.9375F,  1.5625F,   -1.09375F, -1.96875F,
                                    -0.09375F, 1.15625F,  1.40625F,  1.96875F,  1.875F,    -0.34375F, 0.0625F,
                                    1.84375F,  0.6875F,   -1.65625F, 0.8125F,   -1.15625F, 1.6875F,   -0.6875F,
                                    0.34375F,  1.6875F,   1.09375F,  1.46875F,  -0.84375F, 1.4375F,   0.0625F,
                                    -1.3125F,  -0.84375F, -0.75F,    1.9375F,   -0.40625F, 0.375F,    0.28125F};
const std::vector<float> tokens_y = {
    0.34375F, 0.46875F, -1.28125F, -0.125F,  -1.4375F, -1.75F,   1.15625F, 1.1875F,   -1.03125F, -1.75F,
    0.34375F, 0.46875F, -1.28125F, -0.125F,  -1.4375F, 1.03125F, 1.25F,    -0.84375F, -0.78125F, 0.65625F,
    1.40625F, 0.15625F, 0.75F,     1.15625F, 0.84375F, 0.34375F, 0.46875F, -1.28125F, -0.125F,   -1.4375F};
const std::vector<float> logits = {
    1.17578125F,    2.0966796875F,  4.0615234375F, 1.740234375F,  -3.4326171875F, 1.0634765625F,  -1.76171875F,
    -1.7041015625F, 1.4560546875F,  1.0634765625F, 0.8505859375F, -1.833984375F,  9.935546875F,   -4.05859375F,
    1.17578125F,    2.0966796875F,  4.0615234375F, 1.740234375F,  -3.4326171875F, 1.0634765625F,  -1.76171875F,
    4.37890625F,    -1.0439453125F, 1.17578125F,   -0.6875F,      -2.26953125F,   -1.7041015625F, 0.6630859375F,
    0.6630859375F,  1.10546875F,    -1.76171875F,  0.8369140625F, 0.0400390625F,  -4.05859375F,   4.61328125F,
    1.17578125F,    2.0966796875F,  4.0615234375F, 1.740234375F,  -3.4326171875F, 1.0634765625F,  -1.76171875F};
const std::vector<float> dx = {2.376953125F,   3.3095703125F,  -0.9150390625F, -1.2109375F,    -3.619140625F,
                               -2.3720703125F, -4.185546875F,  -2.109375F,     -2.1201171875F, 2.7822265625F,
                               -1.1630859375F, 0.5341796875F,  -1.9013671875F, 5.9521484375F,  -2.0849609375F,
                               -1.046875F,     5.791015625F,   1.673828125F,   -2.03515625F,   -3.34375F,
                               -0.3583984375F, 5.943359375F,   -0.2587890625F, 2.5693359375F,  -8.7529296875F,
                               -1.7568359375F, -0.1025390625F, 2.09375F,       2.568359375F,   -1.3681640625F};
const std::vector<float> tokens_gradient = {2.7451171875F, 3.1982421875F, -3.0107421875F, 5.107421875F, -6.8740234375F,
                                            -0.537109375F, 2.8564453125F, -0.3271484375F, 9.439453125F, -9.955078125F};

std::vector<float> copy(std::span<const float> values) { return {values.begin(), values.end()}; }

template <class Adapter>
void check_adapter(Adapter adapter, const std::vector<float>& half, const std::vector<float>& expected_y,
                   const std::vector<float>& expected_gradient) {
  std::copy(half.begin(), half.end(), adapter.parameters().begin());
  const sbora::embedding layer{sbora::weight_view(table.data(), vocabulary, features)};
  std::vector<float> y(expected_y.size());
  layer.forward(ids, sbora::activation_view(y.data(), tokens_of_batch, features), adapter);
  layer.backward(ids, sbora::activation_view(dy.data(), tokens_of_batch, features), adapter);
  CHECK(y == expected_y);
  CHECK(copy(adapter.gradient()) == expected_gradient);
}

/// The tokens over a table of any storage, with its values.
template <class Weight>
trainable_tokens trained_over(const Weight& weight, const std::vector<float>& values) {
  trainable_tokens made(weight, rows);
  std::copy(values.begin(), values.end(), made.parameters().begin());
  return made;
}

}  // namespace

TEST_CASE("rows and columns that are added, with ids that come several times") {
  check_adapter(sbora::fb_adapter<float>(vocabulary, features, rows, {.alpha = 1}), a, fb_y, fb_gradient);
  check_adapter(sbora::fa_adapter<float>(vocabulary, features, columns, {.alpha = 1}), b, fa_y, fa_gradient);
}

TEST_CASE("rows that are replaced, in an embedding and the head that is tied to it") {
  sbora::thread_pool pool(2);
  const sbora::weight_view<const float> weight(table.data(), vocabulary, features);
  trainable_tokens trained = trained_over(weight, tokens);
  const sbora::embedding input(weight);
  const sbora::linear head(weight);
  sbora::workspace memory;
  padded_matrix<float> y(tokens_of_batch, features, 2), z(tokens_of_batch, vocabulary, 3),
      to_x(tokens_of_batch, features, 1);
  const sbora::activation_view dz(dlogits.data(), tokens_of_batch, vocabulary);
  const auto is = [](const padded_matrix<float>& m, const std::vector<float>& expected) {
    std::vector<float> elements;
    for (index_t i = 0; i < m.rows(); ++i) elements.insert(elements.end(), &m(i, 0), &m(i, 0) + m.cols());
    return elements == expected && m.padding_intact();
  };
  const auto step = [&](auto& executor) {
    input.forward(ids, activation(y), trained, executor);
    head.forward(activation(y), activation(z), memory, executor);
    replaced_forward(trained, activation(y), activation(z), memory, executor);
    CHECK(is(y, tokens_y));
    CHECK(is(z, logits));
    trained.zero_gradient();
    head.backward(dz, activation(to_x), memory, executor);
    replaced_backward(trained, weight, dz, activation(y), activation(to_x), memory, executor);
    CHECK(is(to_x, dx));
    input.backward(ids, activation(to_x), trained, executor);
    CHECK(copy(trained.gradient()) == tokens_gradient);
  };
  sbora::serial_executor serial;
  step(serial);
  step(pool);
  const std::vector<float> both = copy(trained.gradient());
  trained.zero_gradient();
  input.backward(ids, activation(to_x), trained);
  replaced_backward(trained, weight, dz, activation(y), sbora::no_dx, memory);
  CHECK(copy(trained.gradient()) == both);
}

TEST_CASE("trained tokens begin as the table's rows, of every storage, and change no others") {
  const auto check = [](const auto& weight) {
    trainable_tokens trained(weight, rows);
    const sbora::embedding layer(weight);
    const index_t width = weight.d_in();
    padded_matrix<float> before(tokens_of_batch, width), y(before);
    layer.forward(ids, activation(before));
    layer.forward(ids, activation(y), trained);
    CHECK(same_bits(y.memory(), before.memory()));
    std::fill(trained.parameters().begin(), trained.parameters().end(), 7.0F);
    layer.forward(ids, activation(y), trained);
    for (index_t t = 0; t < tokens_of_batch; ++t) {
      const bool replaced = rows.contains(ids[static_cast<std::size_t>(t)]);
      for (index_t k = 0; k < width; ++k) CHECK(y(t, k) == (replaced ? 7.0F : before(t, k)));
    }
  };
  const auto dense = random_vector<float>(vocabulary * 64, 1);
  const auto halves = random_vector<Eigen::half>(vocabulary * 64, 2);
  check(sbora::weight_view(dense.data(), vocabulary, 64));
  check(sbora::weight_view(dense.data(), vocabulary, 60, 7, sbora::storage::in_by_out));
  check(sbora::weight_view(halves.data(), vocabulary, 64));
  const sbora::four_bit_weight nf4(sbora::weight_view(dense.data(), vocabulary, 64));
  check(nf4.view());
  const sbora::int8_weight int8(sbora::weight_view(dense.data(), vocabulary, 64));
  check(int8.view());
}

TEST_CASE("a step of the tokens that were seen") {
  const sbora::weight_view<const float> weight(table.data(), vocabulary, features);
  trainable_tokens trained = trained_over(weight, tokens);
  const sbora::embedding layer(weight);
  sbora::adamw<float> optimiser(trained.parameter_count());
  const std::vector<int> some = {6, 1};
  layer.backward(some, sbora::activation_view(dy.data(), 2, features), trained);
  sbora::seen_rows seen;
  seen.assign(some, trained.delta());
  sparse_step(optimiser, trained.parameters(), trained.gradient(), seen, {.learning_rate = 1e-2});
  for (std::size_t i = 0; i < tokens.size(); ++i) CHECK((trained.parameters()[i] != tokens[i]) == (i < 5));
}

TEST_CASE("nothing around the rows is touched") {
  std::vector<std::vector<float>> seen;
  for (const guard side : both_guards) {
    const guarded_buffer<float> guarded_table(table, side), x(fb_y, side), to_y(dlogits, side);
    const guarded_matrix<float> y(tokens_of_batch, vocabulary, vocabulary + 2, side),
        to_x(tokens_of_batch, features, features + 1, side);
    y.fill([] { return 1.0F; });
    to_x.fill([] { return 1.0F; });
    const sbora::weight_view<const float> weight(guarded_table.data(), vocabulary, features);
    trainable_tokens trained = trained_over(weight, tokens);
    sbora::workspace memory;
    const sbora::activation_view<const float> in(x.data(), tokens_of_batch, features);
    replaced_forward(trained, in, sbora::activation_view(y.data(), tokens_of_batch, vocabulary, y.stride()), memory);
    replaced_backward(trained, weight, sbora::activation_view<const float>(to_y.data(), tokens_of_batch, vocabulary),
                      in, sbora::activation_view(to_x.data(), tokens_of_batch, features, to_x.stride()), memory);
    sbora::embedding(weight).forward(ids, sbora::activation_view(to_x.data(), tokens_of_batch, features, to_x.stride()),
                                     trained);
    seen.push_back(copy(trained.gradient()));
    for (const auto* m : {&y, &to_x}) {
      CHECK(m->memory().intact());
      const float unused = padding<float>();
      for (index_t at = 0; at < m->memory().size(); ++at) {
        if (at % m->stride() < m->cols()) seen.back().push_back(m->memory()[at]);
        else CHECK(std::memcmp(&m->memory()[at], &unused, sizeof unused) == 0);
      }
    }
    for (index_t t = 0; t < tokens_of_batch; ++t) {
      for (index_t v = 0; v < vocabulary; ++v) CHECK((y(t, v) == 1.0F) == !rows.contains(v));
    }
  }
  CHECK(seen[0] == seen[1]);
}

TEST_CASE("what trained tokens refuse, before anything is written") {
  const sbora::weight_view<const float> weight(table.data(), vocabulary, features);
  CHECK_ERROR(sbora::shape_error, "the region is of [0, 5), the table has 7 rows", trainable_tokens(weight, columns));
  trainable_tokens trained = trained_over(weight, tokens);
  const sbora::embedding layer(weight), narrow(columns_of(weight, {0, 4}));
  padded_matrix<float> y(2, features), z(2, vocabulary), other(2, 6);
  y.randomise(1), z.randomise(2), other.randomise(3);
  const auto y_before = y, z_before = z;
  const std::vector<int> high = {0, 7}, good = {0, 2};
  sbora::workspace memory;
  CHECK_ERROR(sbora::assertion_error, "token id 7 at position 1", layer.forward(high, activation(y), trained));
  CHECK_ERROR(sbora::assertion_error, "token id 7 at position 1", layer.backward(high, activation(y), trained));
  CHECK_ERROR(sbora::assertion_error, "another shape: 7 x 5, the weight is 7 x 4",
              narrow.forward(good, sbora::activation_view(y.data(), 2, 4), trained));
  CHECK_ERROR(sbora::assertion_error, "the vocabulary is 7",
              replaced_forward(trained, activation(y), activation(other), memory));
  CHECK_ERROR(sbora::assertion_error, "the tokens' features is 5",
              replaced_forward(trained, activation(other), activation(z), memory));
  CHECK_ERROR(sbora::assertion_error, "another shape: 7 x 5, the weight is 5 x 5",
              replaced_backward(trained, rows_of(weight, {0, 5}), activation(z), activation(y), activation(y), memory));
  CHECK(same_bits(y.memory(), y_before.memory()));
  CHECK(same_bits(z.memory(), z_before.memory()));
  for (const float g : trained.gradient()) CHECK(g == 0);
  const trainable_tokens moved = std::move(trained);
  CHECK_ERROR(sbora::assertion_error, "moved from", layer.forward(good, activation(y), trained));
}
