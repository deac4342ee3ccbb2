/// 16-bit to f32 and back, per instruction set: conversion_kernels.
///
///   widen/bf16, widen/f16     2 bytes read, 4 written per element
///   narrow/bf16, narrow/f16   4 bytes read, 2 written, rounded to nearest even
///
/// 32768 elements: from the second-level cache. Results are compared with Eigen's conversions.

#include <stdexcept>

#include <Eigen/Core>

#include "support/memory.hpp"
#include "support/random.hpp"
#include "support/suite.hpp"

namespace {

constexpr std::size_t count = 32768;

template <class Bits, class Reference>
void widen(benchmark::State& state, void (*kernel)(const Bits*, float*, sbora::index_t) noexcept) {
  bench::buffer<Reference> source(count);
  bench::buffer<float> out(count);
  bench::fill_uniform(source.span(), 41);
  const auto run = [&] {
    kernel(reinterpret_cast<const Bits*>(source.data()), out.data(), static_cast<sbora::index_t>(count));
  };
  run();
  for (std::size_t i = 0; i < count; ++i) {
    if (out[i] != static_cast<float>(source[i])) throw std::runtime_error("widen is wrong");
  }
  bench::measure(state, run);
  bench::count_bytes(state, 6.0 * count);
}

template <class Bits, class Reference>
void narrow(benchmark::State& state, void (*kernel)(const float*, Bits*, sbora::index_t) noexcept) {
  bench::buffer<float> source(count);
  bench::buffer<Reference> out(count);
  bench::fill_uniform(source.span(), 42);
  const auto run = [&] {
    kernel(source.data(), reinterpret_cast<Bits*>(out.data()), static_cast<sbora::index_t>(count));
  };
  run();
  for (std::size_t i = 0; i < count; ++i) {
    if (out[i] != static_cast<Reference>(source[i])) throw std::runtime_error("narrow is wrong");
  }
  bench::measure(state, run);
  bench::count_bytes(state, 6.0 * count);
}

const sbora::detail::conversion_kernels<float>& kernels() {
  return sbora::detail::get_kernels<sbora::detail::conversion_kernels<float>>();
}

}  // namespace

void bench::register_suite() {
  benchmark::SetDefaultTimeUnit(benchmark::kMicrosecond);
  using sbora::bf16;
  using sbora::f16;
  add_per_isa("widen/bf16", [](auto& s) { widen<bf16, Eigen::bfloat16>(s, kernels().widen_bf16); });
  add_per_isa("widen/f16", [](auto& s) { widen<f16, Eigen::half>(s, kernels().widen_f16); });
  add_per_isa("narrow/bf16", [](auto& s) { narrow<bf16, Eigen::bfloat16>(s, kernels().narrow_bf16); });
  add_per_isa("narrow/f16", [](auto& s) { narrow<f16, Eigen::half>(s, kernels().narrow_f16); });
}
