// Gradients of what is trained whole: a bias and a weight, against central differences and against sums in double; the
// same bits for any executor; what doesn't fit.

#include <sbora/executors/thread_pool.hpp>
#include <sbora/layers/full_tensor_gradient.hpp>
#include <sbora/layers/linear.hpp>

#include "support/catch.hpp"
#include "support/matrices.hpp"
#include "support/message.hpp"

using namespace sbora_tests;
using sbora::full_tensor;

namespace {

constexpr index_t d_out = 70, d_in = 33, tokens = 19;

template <class T>
using dense = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

template <class T>
dense<T> random_dense(index_t rows, index_t cols, std::uint64_t seed) {
  dense<T> m(rows, cols);
  fill_random(std::span<T>(m.data(), static_cast<std::size_t>(rows * cols)), seed);
  return m;
}

template <class T>
full_tensor<T> trained(std::string name, std::vector<index_t> shape, std::uint64_t seed) {
  return {std::move(name), shape, random_vector<T>(*sbora::detail::size_product(shape), seed)};
}

}  // namespace

TEST_CASE("a bias and a weight that are trained whole have the gradients of central differences") {
  full_tensor<double> bias = trained<double>("m.bias", {d_out}, 1);
  full_tensor<double> weight = trained<double>("m.weight", {d_out, d_in}, 2);
  const sbora::linear layer(sbora::weight_view<const double>(std::as_const(weight).parameters().data(), d_out, d_in),
                            sbora::lasting_span<double>(std::as_const(bias).parameters()));
  const dense<double> x = random_dense<double>(tokens, d_in, 3), dy = random_dense<double>(tokens, d_out, 4);
  sbora::workspace memory;
  const auto loss = [&] {
    dense<double> y(tokens, d_out);
    layer.forward(x, y, memory);
    return y.cwiseProduct(dy).sum();
  };
  bias.gradient()[3] = 0.5;  // is added to
  sbora::add_bias_gradient(bias, dy);
  sbora::add_weight_gradient(weight, dy, x, memory);
  const auto check = [&](full_tensor<double>& of, index_t at, double before) {
    double& number = of.parameters()[static_cast<std::size_t>(at)];
    const double was = number, h = 1e-4;
    number = was + h;
    const double above = loss();
    number = was - h;
    const double below = loss();
    number = was;
    CHECK(of.gradient()[static_cast<std::size_t>(at)] - before == Approx((above - below) / (2 * h)).margin(1e-7));
  };
  for (index_t at = 0; at < d_out; at += 3) check(bias, at, at == 3 ? 0.5 : 0);
  for (index_t at = 0; at < d_out * d_in; at += 41) check(weight, at, 0);
}

TEMPLATE_TEST_CASE("gradients of whole tensors are sums over the tokens, equal for any executor", "", float,
                   Eigen::bfloat16) {
  const dense<TestType> x = random_dense<TestType>(tokens, d_in, 3), dy = random_dense<TestType>(tokens, d_out, 4);
  full_tensor<float> bias = trained<float>("m.bias", {d_out}, 1), other_bias = bias;
  full_tensor<float> weight = trained<float>("m.weight", {d_out, d_in}, 2), other_weight = weight;
  sbora::workspace memory;
  sbora::thread_pool pool(3);
  sbora::add_bias_gradient(bias, dy);
  sbora::add_bias_gradient(other_bias, dy, pool);
  CHECK(same_bits<float>(bias.gradient(), other_bias.gradient()));
  sbora::add_weight_gradient(weight, dy, x, memory);
  sbora::add_weight_gradient(other_weight, dy, x, memory, pool);
  CHECK(same_bits<float>(weight.gradient(), other_weight.gradient()));
  for (index_t o = 0; o < d_out; ++o) {
    double sum = 0;
    for (index_t t = 0; t < tokens; ++t) sum += static_cast<double>(dy(t, o));
    CHECK(bias.gradient()[static_cast<std::size_t>(o)] == static_cast<float>(sum));
    for (index_t i = 0; i < d_in; i += 7) {
      double exact = 0, size = 0;
      for (index_t t = 0; t < tokens; ++t) {
        const double product = static_cast<double>(dy(t, o)) * static_cast<double>(x(t, i));
        exact += product;
        size += std::fabs(product);
      }
      const double bound = static_cast<double>(tokens + 1) * 0x1p-24 * size;
      CHECK(std::fabs(static_cast<double>(weight.gradient()[static_cast<std::size_t>(o * d_in + i)]) - exact) <= bound);
    }
  }
}

TEST_CASE("a gradient that doesn't fit its full tensor writes nothing") {
  full_tensor<float> bias = trained<float>("m.bias", {d_out}, 1), weight = trained<float>("m.weight", {d_out, d_in}, 2);
  std::vector<float> numbers(d_out);
  full_tensor<float> frozen("m.bias", {d_out}, std::span(numbers), {});
  const dense<float> x = random_dense<float>(tokens, d_in, 3), dy = random_dense<float>(tokens, d_out, 4),
                     fewer = random_dense<float>(tokens - 1, d_in, 3);
  sbora::workspace memory;
  CHECK_ERROR(sbora::assertion_error, "as many as dy has features: 70, now 33", sbora::add_bias_gradient(bias, x));
  CHECK_ERROR(sbora::assertion_error, "was made for inference", sbora::add_bias_gradient(frozen, dy));
  CHECK_ERROR(sbora::assertion_error, "different numbers of tokens",
              sbora::add_weight_gradient(weight, dy, fewer, memory));
  CHECK_ERROR(sbora::assertion_error, "as many as dy's features times x's",
              sbora::add_weight_gradient(bias, dy, x, memory));
  CHECK(same_bits<float>(bias.gradient(), std::vector<float>(d_out)));
  CHECK(same_bits<float>(weight.gradient(), std::vector<float>(d_out * d_in)));
}
