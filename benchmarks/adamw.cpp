/// One AdamW step over flat spans.
///
///   adamw/f32|f64/COUNT/isa=*   sbora::adamw<S>::step, the kernel of each instruction set
///   adamw_8bit/f32/COUNT/isa=*  the same with moments in 8 bits
///   adamw/f32/COUNT/loop_*      a plain loop in f32 (peers/loops.cpp)
///
/// COUNT = 16 Mi elements: from memory, as the optimiser of a whole model. 262144: one 4096 x 64 trained
/// half, 4 MiB with gradient and moments, from the last-level cache.
/// bytes: 7 * sizeof(S) per element: w, g, m, v read and w, m, v written; adamw_8bit: 16.

#include <cmath>
#include <typeinfo>

#include "peers/peers.hpp"
#include "support/adamw_workload.hpp"
#include "support/suite.hpp"

namespace {

template <class Scalar, class Optimiser = sbora::adamw<Scalar>>
void step(benchmark::State& state, std::size_t count) {
  using workload = bench::adamw_workload<Scalar, Optimiser>;
  workload::verify();
  const std::string key = typeid(workload).name() + std::to_string(count);
  auto& work = bench::kept(key, [count] { return std::make_shared<workload>(count); });
  work.step();
  bench::measure(state, [&] { work.step(); });
  bench::count_bytes(state, work.bytes());
}

struct loop_inputs {
  explicit loop_inputs(std::size_t count) : parameters(count), gradient(count), first(count), second(count) {
    bench::fill_uniform(parameters.span(), 21);
    bench::fill_uniform(gradient.span(), 22);
  }
  bench::buffer<float> parameters, gradient, first, second;
};

template <class Loop>
void loop(benchmark::State& state, std::size_t count, Loop adamw) {
  auto& in = bench::kept("loop " + std::to_string(count), [count] { return std::make_shared<loop_inputs>(count); });
  double t = 0;
  bench::measure(state, [&] {
    t += 1;
    const double step = 1e-3 / (1 - std::pow(0.9, t));
    const double root = std::sqrt(1 - std::pow(0.999, t));
    adamw(in.parameters.data(), in.gradient.data(), in.first.data(), in.second.data(),
          static_cast<std::ptrdiff_t>(count), 1e-3F, 0.9F, 0.999F, 1e-8F, 1e-2F, static_cast<float>(step),
          static_cast<float>(root));
  });
  bench::count_bytes(state, bench::adamw_workload<float>::bytes_per_element * static_cast<double>(count));
}

}  // namespace

void bench::register_suite() {
  benchmark::SetDefaultTimeUnit(benchmark::kMicrosecond);
  for (const std::size_t count : {std::size_t{262144}, std::size_t{16} << 20}) {
    const std::string size = std::to_string(count);
    add_per_isa("adamw/f32/" + size, [count](auto& state) { step<float>(state, count); });
    add_per_isa("adamw/f64/" + size, [count](auto& state) { step<double>(state, count); });
    add_per_isa("adamw_8bit/f32/" + size,
                [count](auto& state) { step<float, sbora::adamw_8bit<float>>(state, count); });
    add("adamw/f32/" + size + "/loop_auto", [count](auto& state) { loop(state, count, loop_auto_adamw); });
    add("adamw/f32/" + size + "/loop_scalar", [count](auto& state) { loop(state, count, loop_scalar_adamw); });
  }
}
