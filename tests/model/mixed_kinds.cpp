// FA and FB in one adapter of a model, in memory of the caller: kinds by pattern, gradients, one span to optimise.

#include <sbora/model/adapter_set.hpp>
#include <sbora/optimisers/muon.hpp>
#include <sbora/sbora.hpp>

#include "support/catch.hpp"
#include "support/matrices.hpp"
#include "support/message.hpp"

using namespace sbora_tests;
using sbora::adapter_config;
using sbora::adapter_kind;
using sbora::config_error;
using sbora::make_adapter;
using sbora::model_adapter;
using sbora::model_module;
using sbora::shape_error;

namespace {

/// A network of three layers: 5 features to 7, to 4, to 6.
const std::vector<model_module> net = {{"m.0.up", 7, 5}, {"m.0.down", 4, 7}, {"m.1.up", 6, 4}};

/// FA, but for `down`, which is FB, of another rank.
adapter_config mixed() {
  adapter_config config;
  config.kind = adapter_kind::fa;
  config.kind_pattern = {{"down", adapter_kind::fb}};
  config.r = 3;
  config.rank_pattern = {{"1.up", 2}};
  config.lora_alpha = 4;
  config.target_modules.names = {"up", "down"};
  return config;
}

using matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

matrix random_matrix(index_t rows, index_t cols, std::uint64_t seed) {
  matrix m(rows, cols);
  fill_random(std::span(m.data(), static_cast<std::size_t>(m.size())), seed);
  return m;
}

/// loss = Σ c·y of the three layers, one after the other.
struct network {
  std::vector<matrix> weights;
  matrix x = random_matrix(9, 5, 1), c = random_matrix(9, 6, 2);
  sbora::workspace memory;

  network() {
    for (const model_module& module : net)
      weights.push_back(random_matrix(module.d_out, module.d_in, weights.size() + 3));
  }

  double loss(const model_adapter<double>& adapter) {
    matrix in = x;
    for (std::size_t i = 0; i < net.size(); ++i) {
      matrix out(in.rows(), net[i].d_out);
      adapter.visit(net[i].name, [&](const auto& part) {
        sbora::linear(sbora::weight_view(weights[i])).forward(in, out, part, memory);
      });
      in = out;
    }
    return in.cwiseProduct(c).sum();
  }

  /// Adds to the adapter's gradient.
  void backward(model_adapter<double>& adapter) {
    std::vector<matrix> in = {x};
    sbora::fa_saved<double> first, third;
    sbora::fb_saved<double> second;
    for (const model_module& module : net) in.push_back(matrix(9, module.d_out));
    const auto layer = [&](std::size_t i) { return sbora::linear(sbora::weight_view(weights[i])); };
    layer(0).forward(in[0], in[1], adapter.fa(net[0].name), first, memory);
    layer(1).forward(in[1], in[2], adapter.fb(net[1].name), second, memory);
    layer(2).forward(in[2], in[3], adapter.fa(net[2].name), third, memory);
    matrix d2(9, 4), d1(9, 7);
    layer(2).backward(c, d2, adapter.fa(net[2].name), third, memory);
    layer(1).backward(d2, d1, adapter.fb(net[1].name), second, memory);
    layer(0).backward(d1, sbora::no_dx, adapter.fa(net[0].name), first, memory);
  }
};

}  // namespace

TEST_CASE("kind_pattern says which modules are of the other kind") {
  auto adapter = make_adapter(mixed(), net, 5);
  CHECK_FALSE(adapter.kind());
  CHECK(to_string(adapter.kind()) == std::string("FA and FB"));
  CHECK(adapter.config().kind == adapter_kind::fa);
  CHECK(adapter.parameter_count() == 7 * 3 + 3 * 7 + 6 * 2);
  CHECK(sbora::trainable_parameters(mixed(), net) == adapter.parameter_count());
  CHECK(adapter.blocks() == std::vector<sbora::parameter_block>{{0, 7, 3}, {21, 3, 7}, {42, 6, 2}});
  CHECK(adapter.fa("m.0.up").target().dim() == 5);
  CHECK(adapter.fb("m.0.down").target().dim() == 4);
  CHECK_ERROR(config_error, "module 'm.0.down': it is FB, asked for FA", adapter.fa("m.0.down"));
  CHECK_ERROR(config_error, "module 'm.0.up': it is FA, asked for FB", adapter.fb("m.0.up"));

  // Each part is what it is alone.
  adapter_config alone = mixed();
  alone.kind_pattern.clear();
  alone.kind = adapter_kind::fb;
  const auto rows = make_adapter(alone, net, 5);
  CHECK(rows.kind() == adapter_kind::fb);
  CHECK(rows.fb("m.0.down").target() == adapter.fb("m.0.down").target());
  CHECK(rows.fb("m.0.down").options().dropout_seed == adapter.fb("m.0.down").options().dropout_seed);

  // A pattern for all of them needs no other kind, and makes one kind.
  adapter_config all = mixed();
  all.kind.reset();
  all.kind_pattern = {{".*up", adapter_kind::fb}, {"m\\.0\\..*", adapter_kind::fb}};
  CHECK(make_adapter(all, net, 5).kind() == adapter_kind::fb);
  all.kind_pattern.pop_back();
  CHECK_ERROR(config_error, "doesn't say FA or FB (kind) of module 'm.0.down'", make_adapter(all, net, 5));
  CHECK_ERROR(config_error, "kind_pattern: '('",
              make_adapter(
                  [&] {
                    all.kind_pattern = {{"(", adapter_kind::fa}};
                    return all;
                  }(),
                  net, 5));
}

TEST_CASE("kinds take part in a set as any adapter") {
  sbora::adapter_set<float> set(net);
  set.add("mixed", mixed(), 1);
  CHECK(set.status() == std::vector<sbora::adapter_status>{{"mixed", std::nullopt, true, true, 3, 54}});
  fill_random(set.at("mixed").parameters(), 2);
  const auto deltas = set.deltas("m.0.down");
  REQUIRE(deltas.size() == 1);
  CHECK(deltas[0].kind == adapter_kind::fb);
  CHECK(deltas[0].parameters == set.at("mixed").parameters().data() + 21);
  set.set_enabled(false);
  CHECK_FALSE(set.at("mixed").fb("m.0.down").enabled());
  CHECK(set.deltas("m.0.up").empty());
}

TEST_CASE("an adapter of both kinds in the caller's memory: its gradient is that of differences") {
  const auto count = static_cast<std::size_t>(sbora::trainable_parameters(mixed(), net));
  std::vector<double> numbers(2 * count + 2, -7);  // with one beside on each side
  const std::span<double> parameters(numbers.data() + 1, count), gradient(numbers.data() + 1 + count, count);
  fill_random(parameters, 3);
  const std::vector<double> before(parameters.begin(), parameters.end());
  auto made = make_adapter<double>(mixed(), net, 5, {parameters, gradient});
  model_adapter<double> adapter = std::move(made);  // spans are the caller's
  CHECK(adapter.parameters().data() == parameters.data());
  CHECK(same_bits<double>(adapter.parameters(), before));  // kept
  CHECK(adapter.fb("m.0.down").parameters().data() == parameters.data() + 21);
  CHECK(adapter.gradient()[3] == -7);
  adapter.zero_gradient();

  network of;
  of.backward(adapter);
  for (std::size_t i = 0; i < count; ++i) {
    const double step = 1e-4, at = parameters[i];
    parameters[i] = at + step;
    const double above = of.loss(adapter);
    parameters[i] = at - step;
    const double below = of.loss(adapter);
    parameters[i] = at;
    CHECK(std::abs((above - below) / (2 * step) - gradient[i]) < 1e-7 * (1 + std::abs(gradient[i])));
  }
  CHECK(numbers.front() == -7);
  CHECK(numbers.back() == -7);
}

TEST_CASE("one optimiser over the caller's span is one for each part") {
  auto one = make_adapter(mixed(), net, 5), parts = make_adapter(mixed(), net, 5);
  const auto train = [&](auto whole, auto of_part) {
    fill_random(one.parameters(), 1);
    fill_random(parts.parameters(), 1);
    fill_random(one.gradient(), 2);
    fill_random(parts.gradient(), 2);
    whole(one).step(one.parameters(), std::as_const(one).gradient());
    parts.for_each(
        [&](const std::string&, auto& part) { of_part(part).step(part.parameters(), std::as_const(part).gradient()); });
    CHECK(same_bits<float>(one.parameters(), parts.parameters()));
  };
  const auto adamw = [](const auto& of) { return sbora::adamw<float>(of.parameter_count(), {.learning_rate = 0.1}); };
  const auto muon = [](const auto& of) { return sbora::muon<float>(of.blocks(), {.learning_rate = 0.1}); };
  train(adamw, adamw);
  train(muon, muon);
}

TEST_CASE("memory of another size is refused before anything is written; without a gradient it is for inference") {
  const auto count = static_cast<std::size_t>(sbora::trainable_parameters(mixed(), net));
  std::vector<float> numbers(count + 1, 2);
  const std::span<float> all(numbers), right = all.first(count);
  const auto make = [&](std::span<float> parameters, std::span<float> gradient) {
    return make_adapter<float>(mixed(), net, 5, {parameters, gradient});
  };
  CHECK_ERROR(shape_error, "54 parameters needed, the span given has 55", make(all, right));
  CHECK_ERROR(shape_error, "54 parameters needed, the span given has 53", make(all.first(53), right));
  CHECK_ERROR(shape_error, "54 gradients needed, the span given has 55", make(right, all));
  CHECK(numbers == std::vector<float>(count + 1, 2));
  auto inference = make(right, {});
  CHECK(inference.gradient().empty());
  CHECK(inference.delta("m.0.up").gradient == nullptr);
  inference.zero_gradient();
}
