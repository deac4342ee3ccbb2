// What a product takes of the stack of the thread that it runs on, as guarantees.md promises: threads of executors may
// have little of it.

#include <pthread.h>
#include <sys/mman.h>

#include <sbora/layers/linear.hpp>
#include <sbora/quantized.hpp>

#include "support/catch.hpp"
#include "support/fp8_codes.hpp"
#include "support/ggml_blocks.hpp"
#include "support/layer_problem.hpp"
#include "support/sanitizers.hpp"

using namespace sbora_tests;

namespace {

constexpr std::size_t most_stack = 270 * 1024;
constexpr std::uint8_t unused = 0xA5;

/// Bytes of stack that a thread has taken when work() has ended.
template <class Work>
std::size_t stack_of_thread(const Work& work) {
  constexpr std::size_t size = std::size_t{4} << 20;
  void* const memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  REQUIRE(memory != MAP_FAILED);
  const std::span<std::uint8_t> stack(static_cast<std::uint8_t*>(memory), size);
  std::ranges::fill(stack, unused);
  pthread_attr_t attributes;
  REQUIRE(pthread_attr_init(&attributes) == 0);
  REQUIRE(pthread_attr_setstack(&attributes, memory, size) == 0);
  pthread_t thread;
  REQUIRE(pthread_create(
              &thread, &attributes,
              [](void* its) -> void* {
                (*static_cast<const Work*>(its))();
                return nullptr;
              },
              const_cast<void*>(static_cast<const void*>(&work))) == 0);
  REQUIRE(pthread_join(thread, nullptr) == 0);
  REQUIRE(pthread_attr_destroy(&attributes) == 0);
  const auto lowest = std::ranges::find_if(stack, [](std::uint8_t byte) { return byte != unused; });
  const auto taken = static_cast<std::size_t>(stack.end() - lowest);
  munmap(memory, size);
  return taken;
}

/// Forward and backward for numbers of tokens that are multiplied in different ways.
template <class X, class Weight>
std::size_t stack_of_layer(const Weight& weight) {
  const sbora::linear layer(weight);
  const index_t d_out = layer.d_out(), d_in = layer.d_in();
  using T = typename Weight::compute_scalar;
  sbora::fa_adapter<T> adapter(d_out, d_in, sbora::sample_region(d_in, 8, 1));
  fill_random(adapter.parameters(), 2);
  std::size_t most = 0;
  for (const index_t tokens : {1, 3, 12, 40, 72, 256, 300}) {
    padded_matrix<X> x(tokens, d_in), y(tokens, d_out), dy(tokens, d_out), dx(tokens, d_in);
    x.randomise(3), dy.randomise(4);
    sbora::workspace memory;
    typename decltype(adapter)::saved_type saved;
    most = std::max(most, stack_of_thread([&] {
                      layer.forward(activation(std::as_const(x)), activation(y), adapter, saved, memory);
                      layer.backward(activation(std::as_const(dy)), activation(dx), adapter, saved, memory);
                    }));
  }
  return most;
}

/// d_in is wide enough for products that stream more tokens.
constexpr index_t d_out = 96, d_in = 768;

template <class Storage, class X>
std::size_t stack_of_dense() {
  padded_matrix<Storage> w(d_out, d_in, 0);
  w.randomise(5);
  return stack_of_layer<X>(sbora::weight_view<const Storage>(w.data(), d_out, d_in));
}

}  // namespace

TEST_CASE("a product takes as much of a thread's stack as is promised") {
  if (under_asan || under_tsan) return;  // whose frames are larger
  const std::size_t nothing = stack_of_thread([] {});
  REQUIRE(stack_of_thread([] {
            std::uint8_t some[100 * 1024];
            for (volatile std::uint8_t& byte : some) byte = 1;
          }) >= 100 * 1024);
  const auto check = [&](const char* storage, std::size_t taken) {
    CAPTURE(storage, (taken - nothing) / 1024);
    CHECK(taken - nothing <= most_stack);
  };
  check("f32", stack_of_dense<float, float>());
  check("f64", stack_of_dense<double, double>());
  check("bf16", stack_of_dense<Eigen::bfloat16, float>());
  check("bf16 by bf16", stack_of_dense<Eigen::bfloat16, Eigen::bfloat16>());
  check("f16", stack_of_dense<Eigen::half, float>());
  const std::vector<float> dense = random_vector<float>(d_out * d_in, 6);
  const sbora::weight_view w(dense.data(), d_out, d_in);
  const sbora::four_bit_weight nf4(w), nested(w, {.nested = true});
  check("NF4", stack_of_layer<float>(nf4.view()));
  check("NF4 by bf16", stack_of_layer<Eigen::bfloat16>(nf4.view()));
  check("NF4, nested", stack_of_layer<float>(nested.view()));
  const sbora::int8_weight int8(w);
  check("int8", stack_of_layer<float>(int8.view()));
  check("int8 by bf16", stack_of_layer<Eigen::bfloat16>(int8.view()));
  check("fp8", stack_of_layer<float>(fp8_codes(d_out, d_in, sbora::fp8_scaling::block_128, 7).view()));
  for (const sbora::ggml_type type : all_ggml_types) {
    check(sbora::to_string(type), stack_of_layer<float>(ggml_blocks(d_out, d_in, type, 8).view()));
  }
}
