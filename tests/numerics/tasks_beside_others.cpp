// A task that is trained beside others: they stay as they are, and it becomes what it would be with them merged; tasks
// that are trained in turns or at once become what they would be alone.

#include <sbora/sbora.hpp>

#include <sbora/layers/mixed.hpp>

#include <memory>
#include <thread>

#include "support/catch.hpp"
#include "support/matrices.hpp"

using namespace sbora_tests;
using sbora::adapter_kind;
using sbora::delta_path;

namespace {

template <class Scalar>
using row_major = Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

constexpr index_t d_out = 40, d_in = 48;

template <adapter_kind Kind>
std::vector<sbora::region> two_regions() {
  return sbora::partition_regions(Kind == adapter_kind::fa ? d_in : d_out, {6, 9}, 3);
}

template <adapter_kind Kind, class T = float>
sbora::basic_adapter<Kind, T> task(int number, bool trained) {
  sbora::basic_adapter<Kind, T> adapter(d_out, d_in, two_regions<Kind>()[static_cast<std::size_t>(number)],
                                        {.alpha = 5.0 + number});
  if (trained) fill_random(adapter.parameters(), 20 + static_cast<std::uint64_t>(number));
  return adapter;
}

template <class T>
row_major<T> values(index_t rows, index_t cols, std::uint64_t seed) {
  row_major<T> made(rows, cols);
  fill_random(std::span<T>(made.data(), static_cast<std::size_t>(made.size())), seed);
  return made;
}

/// Steps of AdamW towards a target of its own.
template <class Layer, class Adapter>
struct training {
  Layer layer;
  Adapter& adapter;
  sbora::adamw<typename Adapter::scalar> optimiser{adapter.parameter_count(), {.learning_rate = 1e-2}};
  sbora::workspace memory{};
  typename Adapter::saved_type saved{};

  training(Layer of, Adapter& trained) : layer(of), adapter(trained) {}

  void step(std::uint64_t batch, index_t tokens) {
    using T = typename Adapter::scalar;
    const row_major<T> x = values<T>(tokens, d_in, batch), target = values<T>(tokens, d_out, batch + 1000);
    row_major<T> y(tokens, d_out), dx(tokens, d_in);
    layer.forward(x, y, adapter, saved, memory);
    const row_major<T> dy = y - target;
    adapter.zero_gradient();
    layer.backward(dy, dx, adapter, saved, memory);
    last_dx = dx;
    optimiser.step(adapter.parameters(), adapter.gradient());
  }
  row_major<typename Adapter::scalar> last_dx{};
};

template <class Layer, class Adapter>
training(Layer, Adapter&) -> training<Layer, Adapter>;

/// Task 1 active on the fly, and merged: task 2 trained beside it.
template <adapter_kind Kind, class Scalar>
void check_beside(index_t tokens) {
  CAPTURE(tokens, Kind == adapter_kind::fa);
  const auto weight = random_vector<Scalar>(d_out * d_in, 1);
  auto merged_weight = weight;
  const auto first = task<Kind>(0, true);
  const std::vector<float> before(first.parameters().begin(), first.parameters().end());
  sbora::merger merger{sbora::weight_view<Scalar>(merged_weight.data(), d_out, d_in)};
  merger.merge(first);

  auto beside = task<Kind>(1, false), beside_merged = task<Kind>(1, false);
  const sbora::delta_list<float> active = {first.delta()};
  using view = sbora::weight_view<const Scalar>;
  sbora::linear on_the_fly{view(weight.data(), d_out, d_in)}, on_merged{view(merged_weight.data(), d_out, d_in)};
  on_the_fly.set_overlay(&active);
  for (auto* layer : {&on_the_fly, &on_merged}) layer->set_delta_path(delta_path::on_pack_rounded);
  training one(on_the_fly, beside), two(on_merged, beside_merged);
  for (std::uint64_t batch = 0; batch < 6; ++batch) {
    one.step(batch, tokens);
    two.step(batch, tokens);
    CHECK(one.last_dx == two.last_dx);
    CHECK(same_bits<float>(beside.gradient(), beside_merged.gradient()));
    CHECK(same_bits<float>(beside.parameters(), beside_merged.parameters()));
  }
  CHECK(beside.parameters()[0] != 0);
  CHECK(same_bits<float>(first.parameters(), before));
  for (const float gradient : first.gradient()) CHECK(gradient == 0);

  // Merged beside task 1, either way round: the same bytes, and back.
  merger.merge(beside);
  const auto both = merged_weight;
  merger.unmerge(first);
  merger.merge(first);
  CHECK(merged_weight == both);
  merger.unmerge(beside);
  merger.unmerge(first);
  CHECK(merged_weight == weight);
}

}  // namespace

TEST_CASE("a task beside a frozen, active one: on the fly as with that one merged, which stays as it is") {
  for (const index_t tokens : {1, 20, 130}) {
    check_beside<adapter_kind::fa, float>(tokens);
    check_beside<adapter_kind::fb, float>(tokens);
    check_beside<adapter_kind::fa, Eigen::bfloat16>(tokens);
    check_beside<adapter_kind::fb, Eigen::bfloat16>(tokens);
  }
}

TEMPLATE_TEST_CASE("the gradient beside a frozen, active task is that of central differences", "",
                   sbora::fa_adapter<double>, sbora::fb_adapter<double>) {
  constexpr adapter_kind kind = TestType::kind;
  const auto w = values<double>(d_out, d_in, 1), x = values<double>(30, d_in, 2), target = values<double>(30, d_out, 3);
  const auto first = task<kind, double>(0, true);
  auto second = task<kind, double>(1, true);
  for (const auto path : {delta_path::automatic, delta_path::separate, delta_path::on_pack}) {
    const sbora::delta_list<double> active = {first.delta()};
    sbora::linear layer{sbora::weight_view{w}};
    layer.set_overlay(&active);
    layer.set_delta_path(path);
    sbora::workspace memory;
    typename TestType::saved_type saved;
    row_major<double> y(30, d_out), dx(30, d_in);
    const auto loss = [&] {
      layer.forward(x, y, second, saved, memory);
      return (y - target).squaredNorm() / 2;
    };
    loss();
    second.zero_gradient();
    layer.backward(row_major<double>(y - target), dx, second, saved, memory);
    const std::vector<double> gradient(second.gradient().begin(), second.gradient().end());
    constexpr double h = 0x1p-7;
    for (std::size_t i = 0; i < gradient.size(); i += 7) {
      double& parameter = second.parameters()[i];
      const double kept = parameter;
      parameter = kept + h;
      const double above = loss();
      parameter = kept - h;
      const double below = loss();
      parameter = kept;
      CHECK(std::abs((above - below) / (2 * h) - gradient[i]) <= 1e-7 * std::max(1.0, std::abs(gradient[i])));
    }
  }
}

TEST_CASE("tasks trained in turns, or by two threads at once, become what they are alone") {
  const auto w = values<float>(d_out, d_in, 1);
  sbora::linear layer{sbora::weight_view{w}};
  const auto alone = [&](int number) {
    auto adapter = task<adapter_kind::fa>(number, false);
    training of(layer, adapter);
    for (std::uint64_t batch = 0; batch < 10; ++batch) of.step(batch + 50 * static_cast<std::uint64_t>(number), 20);
    return adapter;
  };
  const auto first = alone(0), second = alone(1);

  auto one = task<adapter_kind::fa>(0, false), two = task<adapter_kind::fa>(1, false);
  training of_one(layer, one), of_two(layer, two);
  for (std::uint64_t part = 0; part < 2; ++part) {  // 5 steps each, then 5 more
    for (std::uint64_t batch = 5 * part; batch < 5 * part + 5; ++batch) of_one.step(batch, 20);
    for (std::uint64_t batch = 5 * part; batch < 5 * part + 5; ++batch) of_two.step(batch + 50, 20);
  }
  CHECK(same_bits<float>(one.parameters(), first.parameters()));
  CHECK(same_bits<float>(two.parameters(), second.parameters()));

  auto other = task<adapter_kind::fa>(1, false);
  std::thread beside([&] {
    training of(layer, other);
    for (std::uint64_t batch = 0; batch < 10; ++batch) of.step(batch + 50, 20);
  });
  const auto again = alone(0);
  beside.join();
  CHECK(same_bits<float>(again.parameters(), first.parameters()));
  CHECK(same_bits<float>(other.parameters(), second.parameters()));
}

TEST_CASE("tasks trained in mixed batches have the gradients of their own tokens alone") {
  constexpr index_t tokens = 24;
  const auto w = values<float>(d_out, d_in, 1), x = values<float>(tokens, d_in, 2),
             target = values<float>(tokens, d_out, 3);
  auto first = task<adapter_kind::fa>(0, true);
  auto second = task<adapter_kind::fa>(1, true);
  sbora::linear layer{sbora::weight_view{w}};
  layer.set_batch_invariant(true);
  sbora::workspace memory;
  /// The gradients of both, over these tokens.
  const auto gradients = [&](const std::vector<index_t>& which) {
    row_major<float> some(std::ssize(which), d_in), wanted(std::ssize(which), d_out), y(std::ssize(which), d_out);
    std::vector<index_t> ids;
    for (std::size_t i = 0; i < which.size(); ++i) {
      some.row(static_cast<index_t>(i)) = x.row(which[i]);
      wanted.row(static_cast<index_t>(i)) = target.row(which[i]);
      ids.push_back(which[i] % 3 == 0 ? 0 : 1);
    }
    sbora::delta_list<float> deltas = {first.delta(), second.delta()};
    for (auto& delta : deltas) delta.batch_invariant = true;
    const sbora::adapter_rows rows(ids, 2);
    layer.forward(some, y, memory);
    sbora::mixed_forward(deltas, rows, some, y, sbora::training_step{}, memory);
    const row_major<float> dy = y - wanted;
    first.zero_gradient(), second.zero_gradient();
    sbora::mixed_backward(deltas, rows, dy, some, sbora::no_dx, sbora::training_step{}, memory);
    return std::pair(std::vector<float>(first.gradient().begin(), first.gradient().end()),
                     std::vector<float>(second.gradient().begin(), second.gradient().end()));
  };
  std::vector<index_t> all, of_first, of_second;
  for (index_t t = 0; t < tokens; ++t) {
    all.push_back(t);
    (t % 3 == 0 ? of_first : of_second).push_back(t);
  }
  const auto both = gradients(all);
  CHECK(both.first == gradients(of_first).first);
  CHECK(both.second == gradients(of_second).second);
}
