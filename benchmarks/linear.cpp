/// The linear layer, frozen and with an adapter, against Eigen.
///
///   forward/frozen          sbora::linear::forward(x, y)
///   forward/fa|fb           sbora::linear::forward(x, y, adapter), eval mode
///   forward/eigen           Eigen's product with the (merged) weight
///   forward/lora_eigen      dense LoRA as two more Eigen products
///   step/frozen             forward and backward(dy, dx): what the adapter is added to
///   step/fa|fb              forward in training mode, backward with dX, AdamW step
///   step/lora_eigen         the same of dense LoRA with Eigen, without the optimiser
///
/// f32, row-major activations, rank 64, one thread. 1024 x 1024 for n = 1, 32, 256 tokens, and 4096 x 4096
/// for n = 1 and 16.
/// flops: of the base products alone, 2 n d_out d_in for each (forward: one, step: two), so that the
/// figures of frozen and adapted layers compare. What n = 1 is bound by is the bytes of the weight, also
/// counted.

#include <string>

#include "peers/peers.hpp"
#include "support/linear_workload.hpp"
#include "support/suite.hpp"

namespace {

using bench::index_t;
using problem = bench::linear_workload;
using shape = bench::linear_shape;
using map = problem::map;

void count(benchmark::State& state, const problem& work, double products) {
  bench::count_flops(state, work.products(products));
  bench::count_bytes(state, work.weight_bytes(products));
}

void frozen(benchmark::State& state, const shape& sizes, bool train) {
  problem work(sizes);
  const sbora::linear layer(work.view());
  sbora::workspace memory;
  const auto run = [&] {
    layer.forward(work.x(), work.y(), memory);
    if (train) layer.backward(work.dy(), work.dx(), memory);
  };
  run();
  work.verify(bench::no_delta, train);
  bench::measure(state, run);
  count(state, work, train ? 2 : 1);
}

template <class Adapter>
void adapted(benchmark::State& state, const shape& sizes, bool train) {
  constexpr bool is_fa = std::is_same_v<Adapter, sbora::fa_adapter<float>>;
  problem work(sizes);
  const sbora::linear layer(work.view());
  Adapter adapter(sizes.d_out, sizes.d_in,
                  sbora::sample_region(is_fa ? sizes.d_in : sizes.d_out, sizes.rank, 1));
  bench::fill_uniform(adapter.parameters(), 54, 0.05F);
  sbora::adamw<float> optimiser(adapter.parameter_count());
  typename Adapter::saved_type saved;
  sbora::workspace memory;
  map x = work.x();
  const auto pass = [&] {
    if (train) {
      layer.forward(x, work.y(), adapter, saved, memory);
      layer.backward(work.dy(), work.dx(), adapter, saved, memory);
    } else {
      layer.forward(x, work.y(), std::as_const(adapter), memory);
    }
  };

  pass();
  std::vector<index_t> place(static_cast<std::size_t>(adapter.target().dim()), -1);
  for (index_t j = 0; j < sizes.rank; ++j) {
    place[static_cast<std::size_t>(adapter.target().indices()[static_cast<std::size_t>(j)])] = j;
  }
  const auto trained = std::as_const(adapter).matrix();
  work.verify(
      [&](index_t o, index_t k) {
        const index_t j = place[static_cast<std::size_t>(is_fa ? k : o)];
        return j < 0 ? 0.0 : adapter.scale() * static_cast<double>(is_fa ? trained(o, j) : trained(j, k));
      },
      train);

  bench::measure(state, [&] {
    if (train) adapter.zero_gradient();
    pass();
    if (train) optimiser.step(adapter.parameters(), std::as_const(adapter).gradient());
  });
  count(state, work, train ? 2 : 1);
}

void eigen(benchmark::State& state, const shape& sizes) {
  problem work(sizes);
  const auto run = [&] {
    eigen_forward(work.input(), work.weight(), work.output(), sizes.tokens, sizes.d_out, sizes.d_in);
  };
  run();
  work.verify(bench::no_delta, false);
  bench::measure(state, run);
  count(state, work, 1);
}

void lora(benchmark::State& state, const shape& sizes, bool train) {
  problem work(sizes);
  bench::buffer<float> a(problem::size(sizes.rank, sizes.d_in));
  bench::buffer<float> b(problem::size(sizes.d_out, sizes.rank));
  bench::buffer<float> da(a.size()), db(b.size());
  bench::buffer<float> h(problem::size(sizes.tokens, sizes.rank)), dh(h.size());
  bench::fill_uniform(a.span(), 55, 0.05F);
  bench::fill_uniform(b.span(), 56, 0.05F);
  const float scale = 0.125F;
  const auto run = [&] {
    eigen_lora_forward(work.input(), work.weight(), a.data(), b.data(), h.data(), work.output(),
                       sizes.tokens, sizes.d_out, sizes.d_in, sizes.rank, scale);
    if (train) {
      eigen_lora_backward(work.output_gradient(), work.input(), work.weight(), a.data(), b.data(),
                          h.data(), dh.data(), da.data(), db.data(), work.input_gradient(), sizes.tokens,
                          sizes.d_out, sizes.d_in, sizes.rank, scale);
    }
  };
  run();
  work.verify(
      [&](index_t o, index_t k) {
        double sum = 0;
        for (index_t j = 0; j < sizes.rank; ++j) {
          sum += static_cast<double>(b[problem::size(o, sizes.rank) + problem::size(j, 1)]) *
                 static_cast<double>(a[problem::size(j, sizes.d_in) + problem::size(k, 1)]);
        }
        return static_cast<double>(scale) * sum;
      },
      train);
  bench::measure(state, run);
  count(state, work, train ? 2 : 1);
}

}  // namespace

void bench::register_suite() {
  benchmark::SetDefaultTimeUnit(benchmark::kMillisecond);
  using fa = sbora::fa_adapter<float>;
  using fb = sbora::fb_adapter<float>;
  for (const shape& sizes : {shape{1024, 1024, 1}, shape{1024, 1024, 32}, shape{1024, 1024, 256},
                             shape{4096, 4096, 1}, shape{4096, 4096, 16}}) {
    const std::string name = "/" + std::to_string(sizes.d_out) + "x" + std::to_string(sizes.d_in) +
                             "/n=" + std::to_string(sizes.tokens);
    add("forward/frozen" + name, [sizes](auto& state) { frozen(state, sizes, false); });
    add("forward/fa" + name, [sizes](auto& state) { adapted<fa>(state, sizes, false); });
    add("forward/fb" + name, [sizes](auto& state) { adapted<fb>(state, sizes, false); });
    add("forward/eigen" + name, [sizes](auto& state) { eigen(state, sizes); });
    add("forward/lora_eigen" + name, [sizes](auto& state) { lora(state, sizes, false); });
    add("step/frozen" + name, [sizes](auto& state) { frozen(state, sizes, true); });
    add("step/fa" + name, [sizes](auto& state) { adapted<fa>(state, sizes, true); });
    add("step/fb" + name, [sizes](auto& state) { adapted<fb>(state, sizes, true); });
    add("step/lora_eigen" + name, [sizes](auto& state) { lora(state, sizes, true); });
  }
}
