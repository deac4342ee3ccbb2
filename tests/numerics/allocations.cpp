// No allocation after warm-up: every operator new of this executable counts.

#include <sbora/sbora.hpp>

#include <sbora/executors/thread_pool.hpp>
#include <sbora/layers/embedding.hpp>
#include <sbora/layers/full_tensor_gradient.hpp>
#include <sbora/layers/grouped_linear.hpp>
#include <sbora/layers/mixed.hpp>
#include <sbora/optimisers/lion.hpp>
#include <sbora/optimisers/muon.hpp>
#include <sbora/quantized.hpp>
#include <sbora/selection/scorers.hpp>
#include <sbora/selection/usage_scorer.hpp>

#include <atomic>
#include <cstdlib>
#include <new>

#include "support/catch.hpp"
#include "support/layer_problem.hpp"
#include "support/merge_problem.hpp"

namespace {

std::atomic<bool> counting{false};
std::atomic<int> allocations{0};
std::atomic<std::size_t> allocated_bytes{0};

void* allocate(std::size_t size, std::size_t alignment) {
  if (counting.load()) {
    allocations.fetch_add(1);
    allocated_bytes.fetch_add(size);
  }
  const std::size_t rounded = (size + alignment - 1) / alignment * alignment;
  void* const memory = std::aligned_alloc(alignment, rounded == 0 ? alignment : rounded);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

void* operator new(std::size_t size) { return allocate(size, alignof(std::max_align_t)); }
void* operator new[](std::size_t size) { return allocate(size, alignof(std::max_align_t)); }
void* operator new(std::size_t size, std::align_val_t alignment) {
  return allocate(size, static_cast<std::size_t>(alignment));
}
void* operator new[](std::size_t size, std::align_val_t alignment) {
  return allocate(size, static_cast<std::size_t>(alignment));
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  return allocate(size, alignof(std::max_align_t));
}
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept {
  return allocate(size, alignof(std::max_align_t));
}
// Not inlined, or GCC takes free() for a mistake.
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete[](void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete[](void* memory, std::align_val_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }

using namespace sbora_tests;
using sbora::adapter_kind;

namespace {

/// How many allocations the second of two calls of f makes.
template <class Function>
int allocations_after_warm_up(Function&& f) {
  f();
  allocations.store(0);
  counting.store(true);
  f();
  counting.store(false);
  return allocations.load();
}

template <adapter_kind Kind, class Scalar>
void check_training_step(double dropout) {
  CAPTURE(Kind == adapter_kind::fa, dropout);
  layer_problem<Kind, Scalar> p({.d_out = 90, .d_in = 70, .rank = 6, .tokens = 80, .bias = true, .dropout = dropout});
  const auto layer = p.layer();
  sbora::workspace memory;
  typename decltype(p)::adapter_type::saved_type saved;
  using T = typename decltype(p)::T;
  sbora::adamw<T> adamw(p.adapter.parameter_count());
  sbora::sgd<T> sgd(p.adapter.parameter_count(), {.momentum = 0.9});
  sbora::adamw_8bit<float> adamw_8bit(p.adapter.parameter_count());
  sbora::lion<T> lion(p.adapter.parameter_count());
  sbora::muon<T> muon(p.adapter.blocks());
  auto y = p.empty_y();
  auto dx = p.empty_dx();
  sbora::thread_pool threads(2);
  const auto step = [&](auto& pool) {
    layer.forward(activation(p.x), activation(y), memory, pool);
    layer.forward(activation(p.x), activation(y), std::as_const(p.adapter), memory, pool);
    layer.forward(activation(p.x), activation(y), p.adapter, saved, memory, pool);
    p.adapter.zero_gradient();
    layer.backward(activation(p.dy), activation(dx), p.adapter, saved, memory, pool);
    delta_forward(p.adapter, activation(p.x), activation(y), saved, memory, pool);
    delta_backward(p.adapter, activation(p.dy), activation(dx), saved, memory, pool);
    const std::span<const T> gradient = p.adapter.gradient();
    const double scale = sbora::clip_scale(sbora::gradient_norm(gradient), 1);
    adamw.step(p.adapter.parameters(), gradient, {1e-3, scale}, pool);
    sgd.step(p.adapter.parameters(), gradient, {1e-3, scale}, pool);
    lion.step(p.adapter.parameters(), gradient, {1e-3, scale}, pool);
    muon.step(p.adapter.parameters(), gradient, {1e-3, scale}, pool);
    if constexpr (std::is_same_v<T, float>) adamw_8bit.step(p.adapter.parameters(), gradient, {1e-3, scale}, pool);
  };
  sbora::serial_executor serial;
  CHECK(allocations_after_warm_up([&] { step(serial); }) == 0);
  CHECK(allocations_after_warm_up([&] { step(threads); }) == 0);
}

}  // namespace

TEST_CASE("the counter counts") {
  int* volatile kept = nullptr;
  CHECK(allocations_after_warm_up([&] {
          kept = new int(3);
          delete kept;
        }) == 1);
  CHECK(allocations_after_warm_up([] { Eigen::MatrixXf::Zero(9, 9).eval(); }) <= 1);
}

TEST_CASE("a training step allocates nothing after the first") {
  for (const double dropout : {0.0, 0.3}) {
    check_training_step<adapter_kind::fa, float>(dropout);
    check_training_step<adapter_kind::fb, float>(dropout);
    check_training_step<adapter_kind::fa, double>(dropout);
    check_training_step<adapter_kind::fb, Eigen::bfloat16>(dropout);
  }
}

TEST_CASE("a smaller batch after a larger one allocates nothing") {
  layer_problem<adapter_kind::fa, float> p({.d_out = 90, .d_in = 70, .rank = 6, .tokens = 80});
  const auto layer = p.layer();
  sbora::workspace memory;
  sbora::fa_saved<float> saved;
  auto y = p.empty_y();
  const auto forward = [&](index_t tokens) {
    layer.forward(sbora::activation_view<const float>(p.x.data(), tokens, 70),
                  sbora::activation_view<float>(y.data(), tokens, 90), p.adapter, saved, memory);
  };
  forward(80);
  CHECK(allocations_after_warm_up([&] {
          for (const index_t tokens : {1, 13, 64, 80}) forward(tokens);
        }) == 0);
}

TEST_CASE("merge, unmerge and swap allocate nothing after the first of each") {
  for (const sbora::storage order : both_orders) {
    merge_problem<float> p(70, 90, order);
    const auto a = p.adapter<adapter_kind::fa>(sbora::sample_region(90, 9, 1), 1);
    const auto b = p.adapter<adapter_kind::fa>(sbora::sample_region(90, 9, 2), 2);
    const auto same = p.adapter<adapter_kind::fa>(sbora::sample_region(90, 9, 1), 3);
    sbora::merger<float> merger(p.view());
    CHECK(allocations_after_warm_up([&] {
            merger.merge(a);
            merger.unmerge(a);
          }) == 0);
    CHECK(allocations_after_warm_up([&] {
            merger.merge(a);
            merger.swap(a, same);
            merger.swap(same, b);
            merger.swap(b, a);
            merger.unmerge(a);
          }) == 0);
  }
}

namespace {

template <adapter_kind Kind>
void check_step_memory() {
  layer_problem<Kind, float> p({.d_out = 300, .d_in = 400, .rank = 8, .tokens = 40});
  const auto layer = p.layer();
  allocated_bytes.store(0);
  counting.store(true);
  {
    auto adapter = p.adapter.clone();
    sbora::adamw<float> optimiser(adapter.parameter_count());
    typename decltype(adapter)::saved_type saved;
    sbora::workspace memory;
    auto y = activation(p.dy);  // anything of these shapes
    auto dx = activation(p.x);
    layer.forward(activation(std::as_const(p.x)), y, adapter, saved, memory);
    layer.backward(y, dx, adapter, saved, memory);
    optimiser.step(adapter.parameters(), adapter.gradient());
  }
  counting.store(false);
  const sbora::step_memory stated = sbora::memory_of_step(layer, p.adapter, 40);
  const std::size_t bookkeeping = 1024;  // cache-line rounding, vectors
  CHECK(allocated_bytes.load() <= stated.peak() - stated.originals + bookkeeping);
  CHECK(allocated_bytes.load() >= (stated.peak() - stated.originals) / 2);  // and not far too much
  CHECK(stated.peak() < 300 * 400 * sizeof(float));
}

}  // namespace

TEST_CASE("a step over 4-bit codes allocates little beside them, and nothing after the first") {
  layer_problem<adapter_kind::fa, float> p({.d_out = 512, .d_in = 640, .rank = 8, .tokens = 24});
  const sbora::four_bit_weight codes(sbora::weight_view<const float>(p.weight.data(), 512, 640), {.nested = true});
  const sbora::linear layer(codes.view());
  sbora::workspace memory;
  sbora::fa_saved<float> saved;
  auto y = p.empty_y();
  auto dx = p.empty_dx();
  const auto step = [&] {
    layer.forward(activation(std::as_const(p.x)), activation(y), p.adapter, saved, memory);
    layer.backward(activation(std::as_const(p.dy)), activation(dx), p.adapter, saved, memory);
  };
  allocated_bytes.store(0);
  counting.store(true);
  step();
  counting.store(false);
  CHECK(allocated_bytes.load() < 512 * 640 / 2);  // less than the codes
  CHECK(allocations_after_warm_up(step) == 0);
}

TEST_CASE("memory_of_step is what a step allocates") {
  check_step_memory<adapter_kind::fa>();
  check_step_memory<adapter_kind::fb>();
}

TEST_CASE("batches of many adapters") {
  layer_problem<adapter_kind::fa, float> fa({.d_out = 90, .d_in = 70, .rank = 6, .tokens = 80});
  layer_problem<adapter_kind::fb, float> fb({.d_out = 90, .d_in = 70, .rank = 4, .tokens = 80});
  const sbora::delta_list<float> deltas = {fa.adapter.delta(), fb.adapter.delta()};
  std::vector<index_t> ids(80);
  for (std::size_t t = 0; t < ids.size(); ++t) ids[t] = static_cast<index_t>(t * t % 3) - 1;
  sbora::adapter_rows rows;
  sbora::workspace memory;
  auto y = fa.empty_y();
  auto dx = fa.empty_dx();
  sbora::thread_pool threads(2);
  CHECK(allocations_after_warm_up([&] {
          rows.assign(ids, 2);
          mixed_forward(deltas, rows, activation(fa.x), activation(y), memory, threads);
          mixed_forward(deltas, rows, activation(fa.x), activation(y), sbora::training_step{1}, memory, threads);
          mixed_backward(deltas, rows, activation(fa.dy), activation(fa.x), activation(dx), sbora::training_step{1},
                         memory, threads);
        }) == 0);
}

TEST_CASE("experts") {
  constexpr index_t experts = 4, d_out = 90, d_in = 70, tokens = 80;
  padded_matrix<float> stack(experts * d_out, d_in), x(tokens, d_in), dx(tokens, d_in), y(2 * tokens, d_out),
      dy(2 * tokens, d_out);
  stack.randomise(1), x.randomise(2), dy.randomise(3);
  const sbora::grouped_linear layer(
      experts_of(sbora::weight_view<const float>(stack.data(), experts * d_out, d_in), 4));
  std::vector<sbora::fa_adapter<float>> fa;
  std::vector<sbora::fb_adapter<float>> fb;
  for (std::uint64_t e = 0; e < 2; ++e) {
    fa.emplace_back(d_out, d_in, sbora::sample_region(d_in, 6, e), sbora::adapter_options{.dropout = 0.5});
    fb.emplace_back(d_out, d_in, sbora::sample_region(d_out, 4, e));
  }
  const sbora::delta_list<float> deltas = {fa[0].delta(), fb[0].delta(), fa[1].delta(), fb[1].delta()};
  std::vector<index_t> ids(2 * tokens);
  for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<index_t>(i * i % 7) % experts;
  sbora::expert_tokens routed;
  sbora::workspace memory;
  sbora::thread_pool threads(2);
  CHECK(allocations_after_warm_up([&] {
          routed.assign(ids, 2, experts);
          layer.forward(activation(x), activation(y), routed.groups(), deltas, memory, threads);
          layer.forward(activation(x), activation(y), routed.groups(), deltas, sbora::training_step{1}, memory,
                        threads);
          layer.backward(activation(dy), activation(x), activation(dx), routed.groups(), deltas,
                         sbora::training_step{1}, memory, threads);
        }) == 0);
}

TEST_CASE("an embedding, its head, and tokens that are replaced in both") {
  constexpr index_t vocabulary = 50, features = 40, tokens = 30;
  padded_matrix<float> table(vocabulary, features), x(tokens, features), dx(tokens, features), y(tokens, vocabulary);
  table.randomise(1);
  const sbora::weight_view<const float> weight(table.data(), vocabulary, features);
  sbora::trainable_tokens trained(weight, sbora::sample_region(vocabulary, 5, 1));
  sbora::fa_adapter<float> adapter(vocabulary, features, sbora::sample_region(features, 5, 1));
  const sbora::embedding input(weight);
  const sbora::linear head(weight);
  std::vector<index_t> ids(tokens);
  for (std::size_t t = 0; t < ids.size(); ++t) ids[t] = static_cast<index_t>(t * 7 % vocabulary);
  sbora::workspace memory;
  sbora::thread_pool threads(2);
  CHECK(allocations_after_warm_up([&] {
          input.forward(ids, activation(x), adapter, threads);
          input.backward(ids, activation(x), adapter, threads);
          input.forward(ids, activation(x), trained, threads);
          head.forward(activation(x), activation(y), memory, threads);
          replaced_forward(trained, activation(x), activation(y), memory, threads);
          head.backward(activation(y), activation(dx), memory, threads);
          replaced_backward(trained, weight, activation(y), activation(x), activation(dx), memory, threads);
          input.backward(ids, activation(dx), trained, threads);
        }) == 0);
}

TEST_CASE("scorers") {
  constexpr index_t d_out = 300, d_in = 70, tokens = 30;
  padded_matrix<float> x(tokens, d_in), dx(tokens, d_in), dy(tokens, d_out);
  x.randomise(1), dx.randomise(2), dy.randomise(3);
  sbora::activation_scorer activation_norm(adapter_kind::fa, d_out, d_in);
  sbora::gradient_scorer columns(adapter_kind::fa, d_out, d_in), rows(adapter_kind::fb, d_out, d_in);
  sbora::snip_scorer snip(adapter_kind::fa, d_out, d_in);
  sbora::usage_scorer usage(adapter_kind::fa, d_out, d_in);
  sbora::workspace memory;
  sbora::thread_pool threads(2);
  CHECK(allocations_after_warm_up([&] {
          activation_norm.add(activation(x), threads);
          columns.add(activation(x), activation(dy), memory, threads);
          rows.add(activation(x), activation(dy), memory, threads);
          snip.add(activation(x), activation(dx), threads);
          usage.add(activation(x), memory, threads);
        }) == 0);
}

TEST_CASE("gradients of what is trained whole") {
  constexpr index_t d_out = 50, d_in = 40, tokens = 30;
  padded_matrix<float> x(tokens, d_in), dy(tokens, d_out);
  x.randomise(1);
  dy.randomise(2);
  sbora::full_tensor<float> bias("b", {d_out}, std::vector<float>(d_out)),
      weight("w", {d_out, d_in}, std::vector<float>(d_out * d_in));
  sbora::workspace memory;
  sbora::thread_pool threads(2);
  CHECK(allocations_after_warm_up([&] {
          sbora::add_bias_gradient(bias, activation(dy), threads);
          sbora::add_weight_gradient(weight, activation(dy), activation(x), memory, threads);
        }) == 0);
}
