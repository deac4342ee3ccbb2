// The C interface beside the classes that it stands for: the same bits, and refusals that change nothing.

#include <thread>

#include <Eigen/Core>

#include <sbora/optimisers/adamw.hpp>
#include <sbora/plugs/c.h>
#include <sbora/sbora.hpp>

#include "support/catch.hpp"
#include "support/random_values.hpp"

using namespace sbora_tests;
using sbora::adapter_kind;

namespace {

constexpr index_t d_out = 37, d_in = 45, rank = 6, tokens = 21, padding = 3;

/// Rows of a matrix with a gap behind each.
template <class T>
struct rows {
  std::vector<T> values;
  index_t count, cols;

  rows(index_t count_, index_t cols_, std::uint64_t seed)
      : values(static_cast<std::size_t>(count_ * (cols_ + padding))), count(count_), cols(cols_) {
    random_values random(seed);
    for (T& value : values) value = static_cast<T>(random.uniform<float>());
  }
  sbora_matrix matrix() {
    return {values.data(), count, cols, cols + padding, sizeof(T) == sizeof(float) ? sbora_f32 : sbora_bf16};
  }
  template <class View>
  View as() {
    return {values.data(), count, cols, cols + padding};
  }
  friend bool operator==(const rows& a, const rows& b) {
    return std::memcmp(a.values.data(), b.values.data(), a.values.size() * sizeof(T)) == 0;
  }
};

struct owned_adapter {
  sbora_adapter* it = nullptr;

  owned_adapter(adapter_kind kind, const sbora::region& target, double alpha = 12) {
    std::vector<std::int64_t> indices(target.indices().begin(), target.indices().end());
    const int which = kind == adapter_kind::fa ? sbora_fa : sbora_fb;
    REQUIRE(sbora_adapter_new(which, d_out, d_in, target.rank(), alpha, indices.data(), 0, &it) == sbora_ok);
  }
  owned_adapter(const owned_adapter&) = delete;
  owned_adapter& operator=(const owned_adapter&) = delete;
  ~owned_adapter() { sbora_adapter_free(it); }
};

sbora::region region_of(adapter_kind kind) {
  return sbora::sample_region(kind == adapter_kind::fa ? d_in : d_out, rank, 11);
}

bool same(std::span<const float> a, const float* b) { return std::memcmp(a.data(), b, a.size_bytes()) == 0; }

/// Three steps of both, over a weight of W and activations of X.
template <adapter_kind Kind, class W, class X>
void check_training(sbora_threads* threads) {
  rows<W> w(d_out, d_in, 1);
  rows<X> x(tokens, d_in, 2), y(tokens, d_out, 3), dy(tokens, d_out, 4), dx(tokens, d_in, 5);
  rows<X> own_y = y, own_dx = dx;
  std::vector<float> bias(d_out);
  random_values random(6);
  for (float& b : bias) b = random.uniform<float>();
  using view = sbora::activation_view<X>;

  const sbora::linear layer(w.template as<sbora::weight_view<W>>(), bias);
  sbora::basic_adapter<Kind, float> expected(d_out, d_in, region_of(Kind), {.alpha = 12});
  sbora::adamw<float> optimiser(expected.parameter_count(), {.learning_rate = 0.1});
  std::conditional_t<Kind == adapter_kind::fa, sbora::fa_saved<float>, sbora::fb_saved<float, X>> saved;
  sbora::workspace memory;
  const owned_adapter given(Kind, expected.target());
  CHECK(sbora_adapter_parameter_count(given.it) == expected.parameter_count());

  const sbora_matrix c_w = w.matrix(), c_x = x.matrix(), c_y = y.matrix(), c_dy = dy.matrix(), c_dx = dx.matrix();
  for (int step = 0; step < 3; ++step) {
    const double rate = step < 2 ? 0.1 : 0.01;
    layer.forward(x.template as<view>(), own_y.template as<view>(), expected, saved, memory);
    expected.zero_gradient();
    layer.backward(dy.template as<view>(), own_dx.template as<view>(), expected, saved, memory);
    optimiser.step(expected.parameters(), expected.gradient(), rate);

    const sbora_adamw_rates rates = {rate, 0.9, 0.999, 1e-8, 1e-2};
    REQUIRE(sbora_forward(given.it, &c_w, bias.data(), &c_x, &c_y, 1, threads) == sbora_ok);
    REQUIRE(sbora_zero_gradient(given.it) == sbora_ok);
    REQUIRE(sbora_backward(given.it, &c_w, &c_dy, &c_dx, threads) == sbora_ok);
    REQUIRE(sbora_adamw_step(given.it, &rates, threads) == sbora_ok);
    CHECK(y == own_y);
    CHECK(dx == own_dx);
    CHECK(same(expected.gradient(), sbora_adapter_gradient(given.it)));
    CHECK(same(expected.parameters(), sbora_adapter_parameters(given.it)));
  }
  // The gradient alone, and a forward that trains nothing.
  REQUIRE(sbora_zero_gradient(given.it) == sbora_ok);
  REQUIRE(sbora_backward(given.it, &c_w, &c_dy, nullptr, threads) == sbora_ok);
  CHECK(same(expected.gradient(), sbora_adapter_gradient(given.it)));
  REQUIRE(sbora_forward(given.it, &c_w, bias.data(), &c_x, &c_y, 0, threads) == sbora_ok);
  layer.forward(x.template as<view>(), own_y.template as<view>(), expected, memory);
  CHECK(y == own_y);
}

template <adapter_kind Kind, class W>
void check_merge() {
  rows<W> w(d_out, d_in, 1);
  const rows<W> before = w;
  rows<float> x(tokens, d_in, 2), y(tokens, d_out, 3), own_y = y;
  const owned_adapter given(Kind, region_of(Kind));
  random_values random(7);
  for (index_t i = 0; i < sbora_adapter_parameter_count(given.it); ++i) {
    sbora_adapter_parameters(given.it)[i] = random.uniform<float>();
  }
  const sbora_matrix c_w = w.matrix(), c_x = x.matrix(), c_y = y.matrix();
  REQUIRE(sbora_merge(given.it, &c_w, nullptr) == sbora_ok);
  CHECK_FALSE(w == before);
  // The weight has the update, and y doesn't get it twice.
  REQUIRE(sbora_forward(given.it, &c_w, nullptr, &c_x, &c_y, 0, nullptr) == sbora_ok);
  sbora::workspace memory;
  sbora::linear layer(w.template as<sbora::weight_view<W>>());
  layer.forward(x.as<sbora::activation_view<float>>(), own_y.as<sbora::activation_view<float>>(), memory);
  CHECK(y == own_y);
  CHECK(sbora_forward(given.it, &c_w, nullptr, &c_x, &c_y, 1, nullptr) == sbora_wrong_order);
  CHECK(sbora_backward(given.it, &c_w, &c_y, nullptr, nullptr) == sbora_wrong_order);
  CHECK(sbora_merge(given.it, &c_w, nullptr) == sbora_wrong_order);
  REQUIRE(sbora_unmerge(given.it, nullptr) == sbora_ok);
  CHECK(w == before);
  CHECK(sbora_unmerge(given.it, nullptr) == sbora_wrong_order);
}

bool says(const char* words) { return std::string(sbora_last_error()).find(words) != std::string::npos; }

}  // namespace

TEST_CASE("a C adapter trains as the classes do, to the last bit") {
  sbora_threads* threads = nullptr;
  REQUIRE(sbora_threads_new(3, &threads) == sbora_ok);
  for (sbora_threads* by : {static_cast<sbora_threads*>(nullptr), threads}) {
    check_training<adapter_kind::fa, float, float>(by);
    check_training<adapter_kind::fb, float, float>(by);
    check_training<adapter_kind::fa, Eigen::bfloat16, Eigen::bfloat16>(by);
    check_training<adapter_kind::fb, Eigen::bfloat16, Eigen::bfloat16>(by);
    check_training<adapter_kind::fa, Eigen::bfloat16, float>(by);
    check_training<adapter_kind::fb, float, Eigen::bfloat16>(by);
  }
  sbora_threads_free(threads);
}

TEST_CASE("a C adapter is merged and taken out again") {
  check_merge<adapter_kind::fa, float>();
  check_merge<adapter_kind::fb, float>();
  check_merge<adapter_kind::fa, Eigen::bfloat16>();
  check_merge<adapter_kind::fb, Eigen::bfloat16>();
}

TEST_CASE("a C adapter draws its region from a seed") {
  sbora_adapter* made = nullptr;
  REQUIRE(sbora_adapter_new(sbora_fb, d_out, d_in, rank, 8, nullptr, 5, &made) == sbora_ok);
  const sbora::region expected = sbora::sample_region(d_out, rank, 5);
  CHECK(sbora_adapter_rank(made) == rank);
  CHECK(std::equal(expected.indices().begin(), expected.indices().end(), sbora_adapter_indices(made)));
  sbora_adapter_free(made);
}

TEST_CASE("C calls that can't be carried out say why and change nothing") {
  rows<float> w(d_out, d_in, 1), x(tokens, d_in, 2), y(tokens, d_out, 3), dy(tokens, d_out, 4), dx(tokens, d_in, 5);
  const rows<float> y_before = y, dx_before = dx, w_before = w;
  const sbora_matrix c_w = w.matrix(), c_x = x.matrix(), c_y = y.matrix(), c_dy = dy.matrix(), c_dx = dx.matrix();
  const owned_adapter given(adapter_kind::fa, region_of(adapter_kind::fa));
  sbora_adapter* const a = given.it;

  sbora_adapter* made = nullptr;
  const std::int64_t twice[] = {3, 3}, outside[] = {3, d_in};
  CHECK(sbora_adapter_new(sbora_fa, d_out, d_in, 2, 8, twice, 0, &made) == sbora_wrong_region);
  CHECK(says("index 3 comes twice"));
  CHECK(sbora_adapter_new(sbora_fa, d_out, d_in, 2, 8, outside, 0, &made) == sbora_wrong_region);
  CHECK(sbora_adapter_new(sbora_fa, d_out, d_in, d_in + 1, 8, nullptr, 0, &made) == sbora_wrong_region);
  CHECK(sbora_adapter_new(sbora_fa, 0, d_in, 2, 8, nullptr, 0, &made) == sbora_wrong_shape);
  CHECK(sbora_adapter_new(sbora_fa, d_out, d_in, 2, -1, nullptr, 0, &made) == sbora_wrong_option);
  CHECK(sbora_adapter_new(7, d_out, d_in, 2, 8, nullptr, 0, &made) == sbora_wrong_argument);
  CHECK(says("kind 7"));
  CHECK(made == nullptr);
  CHECK(sbora_adapter_new(sbora_fa, d_out, d_in, 2, 8, nullptr, 0, nullptr) == sbora_wrong_argument);
  sbora_threads* threads = nullptr;
  CHECK(sbora_threads_new(0, &threads) == sbora_wrong_option);
  CHECK(threads == nullptr);

  CHECK(sbora_backward(a, &c_w, &c_dy, &c_dx, nullptr) == sbora_wrong_order);
  CHECK(says("no training forward"));
  CHECK(sbora_forward(nullptr, &c_w, nullptr, &c_x, &c_y, 1, nullptr) == sbora_wrong_argument);
  CHECK(sbora_forward(a, nullptr, nullptr, &c_x, &c_y, 1, nullptr) == sbora_wrong_argument);
  CHECK(says("weight is NULL"));
  const auto refused = [&](sbora_status status, auto change) {
    for (int which = 0; which < 3; ++which) {
      sbora_matrix all[] = {c_w, c_x, c_y};
      change(all[which]);
      CHECK(sbora_forward(a, &all[0], nullptr, &all[1], &all[2], 1, nullptr) == status);
    }
  };
  refused(sbora_wrong_argument, [](sbora_matrix& m) { m.type = 2; });
  refused(sbora_wrong_shape, [](sbora_matrix& m) { --m.cols; });
  refused(sbora_wrong_shape, [](sbora_matrix& m) { m.data = nullptr; });
  refused(sbora_wrong_shape, [](sbora_matrix& m) { m.rows = -1; });
  refused(sbora_wrong_shape, [](sbora_matrix& m) { m.rows = m.stride = std::int64_t{1} << 40; });
  refused(sbora_wrong_shape, [](sbora_matrix& m) { m.rows += 1; });
  sbora_matrix bf16_y = c_y;
  bf16_y.type = sbora_bf16;
  CHECK(sbora_forward(a, &c_w, nullptr, &c_x, &bf16_y, 1, nullptr) == sbora_wrong_shape);
  CHECK(says("x is f32, y is bf16"));
  CHECK(y == y_before);

  // What an earlier forward kept is still there after one that failed.
  REQUIRE(sbora_forward(a, &c_w, nullptr, &c_x, &c_y, 1, nullptr) == sbora_ok);
  sbora_matrix more_x = c_x;
  more_x.rows += 1;
  CHECK(sbora_forward(a, &c_w, nullptr, &more_x, &c_y, 1, nullptr) == sbora_wrong_shape);
  more_x.rows -= 2;
  CHECK(sbora_forward(a, &c_w, nullptr, &more_x, &c_y, 1, nullptr) == sbora_wrong_shape);
  sbora_matrix fewer_dy = c_dy;
  fewer_dy.rows -= 1;
  CHECK(sbora_backward(a, &c_w, &fewer_dy, &c_dx, nullptr) == sbora_wrong_shape);
  sbora_matrix bf16_dy = c_dy;
  bf16_dy.type = sbora_bf16;
  CHECK(sbora_backward(a, &c_w, &bf16_dy, nullptr, nullptr) == sbora_wrong_shape);
  CHECK(says("dy is bf16, the training forward's x is f32"));
  CHECK(dx == dx_before);
  CHECK(sbora_backward(a, &c_w, &c_dy, &c_dx, nullptr) == sbora_ok);

  const sbora_adamw_rates bad = {1e-3, 1.0, 0.999, 1e-8, 0};
  CHECK(sbora_adamw_step(a, &bad, nullptr) == sbora_wrong_option);
  CHECK(sbora_adamw_step(a, nullptr, nullptr) == sbora_wrong_argument);
  sbora_adapter_parameters(a)[3] = std::numeric_limits<float>::infinity();
  CHECK(sbora_merge(a, &c_w, nullptr) == sbora_not_finite);
  CHECK(w == w_before);
  sbora_adapter_parameters(a)[3] = 0;
  CHECK(sbora_merge(a, &c_w, nullptr) == sbora_ok);
}

TEST_CASE("a C adapter's steps go on where their rates change") {
  const owned_adapter given(adapter_kind::fa, region_of(adapter_kind::fa));
  const auto count = static_cast<std::size_t>(sbora_adapter_parameter_count(given.it));
  std::vector<float> parameters(count), gradient(count);
  random_values random(8);
  for (float& g : gradient) g = random.uniform<float>();
  std::copy(gradient.begin(), gradient.end(), sbora_adapter_gradient(given.it));
  sbora::adamw<float> first(count, {.weight_decay = 0}), second(count, {.weight_decay = 0.5});
  const sbora_adamw_rates rates[] = {{1e-3, 0.9, 0.999, 1e-8, 0}, {1e-3, 0.9, 0.999, 1e-8, 0.5}};
  REQUIRE(sbora_adamw_step(given.it, &rates[0], nullptr) == sbora_ok);
  REQUIRE(sbora_adamw_step(given.it, &rates[1], nullptr) == sbora_ok);
  first.step(parameters, gradient);
  std::copy(first.first_moment().begin(), first.first_moment().end(), second.first_moment().begin());
  std::copy(first.second_moment().begin(), first.second_moment().end(), second.second_moment().begin());
  second.set_steps(1);
  second.step(parameters, gradient);
  CHECK(same(parameters, sbora_adapter_parameters(given.it)));
}

TEST_CASE("each thread has a last error of its own") {
  sbora_adapter* made = nullptr;
  CHECK(sbora_adapter_new(9, d_out, d_in, 2, 8, nullptr, 0, &made) == sbora_wrong_argument);
  std::string theirs = "?";
  std::thread([&] { theirs = sbora_last_error(); }).join();
  CHECK(theirs.empty());
  CHECK(says("kind 9"));
}
