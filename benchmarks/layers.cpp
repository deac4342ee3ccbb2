/// What an adapter costs a layer.
///
///   layer_forward/f32/...  frozen: sbora::linear::forward(x, y); fa, fb: forward(x, y, adapter), eval mode
///   layer_step/f32/...     frozen: forward and backward(dy, dx); fa, fb: the same in training mode with gradients, and
///                          an AdamW step
///   .../lora_eigen         dense LoRA with Eigen's products: Y = X Wᵀ + s (X Aᵀ) Bᵀ, and backward without the
///                          optimiser; one thread, rank 64
///   delta_forward, delta_backward   the adapter's own part alone: sbora::delta_forward, and delta_backward with dx,
///                          by the definition linear in tokens and rank; 4096 x 4096, one thread
///
/// f32, row-major activations. flops: of the base products alone, so that frozen and adapted layers compare; of the
/// delta's products for the deltas.

#include <set>
#include <string>

#include <sbora/executors/thread_pool.hpp>

#include "peers/peers.hpp"
#include "support/sizes.hpp"
#include "support/suite.hpp"

namespace {

using bench::index_t;
using bench::linear_shape;
using problem = bench::linear_workload;

struct inputs {
  problem work;
  sbora::workspace memory;  // warm after the first use
  std::set<std::string> verified;

  explicit inputs(const linear_shape& shape) : work(shape) {}
};

inputs& inputs_of(const linear_shape& shape) {
  return bench::kept("layer " + bench::name_of(shape, 1, false), [&] { return std::make_shared<inputs>(shape); });
}

void frozen(benchmark::State& state, const linear_shape& shape, bool train, int threads) {
  inputs& in = inputs_of(shape);
  problem& work = in.work;
  const sbora::linear layer(work.view());
  sbora::workspace& memory = in.memory;
  sbora::thread_pool pool(threads);
  const auto run = [&] {
    layer.forward(work.x(), work.y(), memory, pool);
    if (train) layer.backward(work.dy(), work.dx(), memory, pool);
  };
  if (in.verified.insert(train ? "frozen step" : "frozen").second) {
    run();
    work.verify(bench::no_delta, train);
  }
  bench::measure(state, run);
  bench::count_flops(state, work.products(train ? 2 : 1));
}

template <class Adapter>
constexpr bool is_fa = Adapter::kind == sbora::adapter_kind::fa;

template <class Adapter>
Adapter make_adapter(const linear_shape& shape) {
  Adapter adapter(shape.d_out, shape.d_in,
                  sbora::sample_region(is_fa<Adapter> ? shape.d_in : shape.d_out, shape.rank, 1));
  bench::fill_uniform(adapter.parameters(), 54, 0.05F);
  return adapter;
}

/// What the adapter adds to W, as bench::linear_workload takes it.
template <class Adapter>
auto delta_of(const Adapter& adapter) {
  std::vector<index_t> place(static_cast<std::size_t>(adapter.target().dim()), -1);
  for (index_t j = 0; j < adapter.rank(); ++j) {
    place[static_cast<std::size_t>(adapter.target().indices()[static_cast<std::size_t>(j)])] = j;
  }
  return [place = std::move(place), trained = adapter.matrix(), scale = adapter.scale()](index_t o, index_t k) {
    const index_t j = place[static_cast<std::size_t>(is_fa<Adapter> ? k : o)];
    return j < 0 ? 0.0 : scale * static_cast<double>(is_fa<Adapter> ? trained(o, j) : trained(j, k));
  };
}

template <class Adapter>
void adapted(benchmark::State& state, const linear_shape& shape, bool train, int threads) {
  inputs& in = inputs_of(shape);
  problem& work = in.work;
  const sbora::linear layer(work.view());
  Adapter adapter = make_adapter<Adapter>(shape);
  sbora::adamw<float> optimiser(adapter.parameter_count());
  typename Adapter::saved_type saved;
  sbora::workspace& memory = in.memory;
  sbora::thread_pool pool(threads);
  problem::map x = work.x();
  const auto pass = [&] {
    if (train) {
      layer.forward(x, work.y(), adapter, saved, memory, pool);
      layer.backward(work.dy(), work.dx(), adapter, saved, memory, pool);
    } else {
      layer.forward(x, work.y(), std::as_const(adapter), memory, pool);
    }
  };
  const std::string what =
      std::string(is_fa<Adapter> ? "fa" : "fb") + (train ? " step " : " ") + std::to_string(shape.rank);
  if (in.verified.insert(what).second) {
    pass();
    work.verify(delta_of(std::as_const(adapter)), train);
  }
  bench::measure(state, [&] {
    if (train) adapter.zero_gradient();
    pass();
    if (train) optimiser.step(adapter.parameters(), std::as_const(adapter).gradient(), {1e-3}, pool);
  });
  bench::count_flops(state, work.products(train ? 2 : 1));
}

void lora(benchmark::State& state, const linear_shape& shape, bool train) {
  inputs& in = inputs_of(shape);
  problem& work = in.work;
  bench::buffer<float> a(problem::size(shape.rank, shape.d_in)), b(problem::size(shape.d_out, shape.rank));
  bench::buffer<float> da(a.size()), db(b.size());
  bench::buffer<float> h(problem::size(shape.tokens, shape.rank)), dh(h.size());
  bench::fill_uniform(a.span(), 55, 0.05F);
  bench::fill_uniform(b.span(), 56, 0.05F);
  const float scale = 0.125F;
  eigen_available(1);
  const auto run = [&] {
    eigen_lora_forward(work.input(), work.weight(), a.data(), b.data(), h.data(), work.output(), shape.tokens,
                       shape.d_out, shape.d_in, shape.rank, scale);
    if (train) {
      eigen_lora_backward(work.output_gradient(), work.input(), work.weight(), a.data(), b.data(), h.data(), dh.data(),
                          da.data(), db.data(), work.input_gradient(), shape.tokens, shape.d_out, shape.d_in,
                          shape.rank, scale);
    }
  };
  const auto delta = [&](index_t o, index_t k) {
    double sum = 0;
    for (index_t j = 0; j < shape.rank; ++j) {
      sum += static_cast<double>(b[problem::size(o, shape.rank) + problem::size(j, 1)]) *
             static_cast<double>(a[problem::size(j, shape.d_in) + problem::size(k, 1)]);
    }
    return static_cast<double>(scale) * sum;
  };
  if (in.verified.insert(train ? "lora step" : "lora").second) {
    run();
    work.verify(delta, train);
  }
  bench::measure(state, run);
  bench::count_flops(state, work.products(train ? 2 : 1));
}

template <class Adapter>
void delta(benchmark::State& state, const linear_shape& shape, bool backward) {
  inputs& in = inputs_of(shape);
  problem& work = in.work;
  Adapter adapter = make_adapter<Adapter>(shape);
  typename Adapter::saved_type saved;
  sbora::workspace& memory = in.memory;
  problem::map x = work.x();
  const std::string what = std::string(is_fa<Adapter> ? "delta fa " : "delta fb ") + std::to_string(shape.rank);
  const bool first = in.verified.insert(what).second;
  const sbora::linear layer(work.view());
  if (first) layer.forward(x, work.y(), memory);  // to be added to: y = x Wᵀ
  sbora::delta_forward(adapter, x, work.y(), saved, memory);
  if (first) {
    layer.backward(work.dy(), work.dx(), memory);
    sbora::delta_backward(adapter, work.dy(), work.dx(), saved, memory);
    work.verify(delta_of(std::as_const(adapter)), true);
  }
  bench::measure(state, [&] {
    if (backward) sbora::delta_backward(adapter, work.dy(), work.dx(), saved, memory);
    else sbora::delta_forward(adapter, x, work.y(), saved, memory);
  });
  const index_t width = is_fa<Adapter> ? shape.d_out : shape.d_in;
  bench::count_flops(state, (backward ? 4.0 : 2.0) * static_cast<double>(shape.tokens * shape.rank * width));
}

using fa = sbora::fa_adapter<float>;
using fb = sbora::fb_adapter<float>;

template <class Function>
void add_layer(const std::string& name, const linear_shape& shape, bool train, int threads, Function function) {
  const double flops = 2.0 * static_cast<double>(shape.tokens * shape.d_out * shape.d_in) * (train ? 2 : 1);
  bench::add_threaded((train ? "layer_step/f32/" : "layer_forward/f32/") + name, threads, function)
      ->Repetitions(bench::repetitions(flops));
}

void add_layers(linear_shape shape, int threads) {
  for (const bool train : {false, true}) {
    const std::string base = bench::name_of(shape, threads, false);
    add_layer(base + "/frozen", shape, train, threads, [=](auto& state) { frozen(state, shape, train, threads); });
    for (const index_t rank : bench::ranks_at(shape.tokens)) {
      shape.rank = rank;
      const std::string name = bench::name_of(shape, threads, true);
      add_layer(name + "/fa", shape, train, threads, [=](auto& state) { adapted<fa>(state, shape, train, threads); });
      add_layer(name + "/fb", shape, train, threads, [=](auto& state) { adapted<fb>(state, shape, train, threads); });
      if (threads > 1 || rank != bench::usual_rank) continue;
      add_layer(name + "/lora_eigen", shape, train, threads, [=](auto& state) { lora(state, shape, train); });
    }
  }
}

void add_deltas(const linear_shape& shape) {
  const std::string name = bench::name_of(shape, 1, true);
  for (const bool backward : {false, true}) {
    const std::string operation = backward ? "delta_backward/f32/" : "delta_forward/f32/";
    bench::add(operation + name + "/fa", [=](auto& state) { delta<fa>(state, shape, backward); });
    bench::add(operation + name + "/fb", [=](auto& state) { delta<fb>(state, shape, backward); });
  }
}

}  // namespace

void bench::register_suite() {
  benchmark::SetDefaultTimeUnit(benchmark::kMillisecond);
  for (const layer_size& size : layer_sizes()) {
    for (const index_t tokens : token_counts()) {
      for (const int threads : thread_counts()) add_layers({size.d_out, size.d_in, tokens}, threads);
    }
  }
  for (const index_t rank : {8, 32, 64, 128, 192, 256}) add_deltas({4096, 4096, usual_tokens, rank});
  for (const index_t tokens : {64, 128, 256, 1024, 1536, 2048}) add_deltas({4096, 4096, tokens, usual_rank});
}
