/// The frozen layer's products against those of the peers.
///
///   forward/f32|bf16/...     sbora: sbora::linear::forward(x, y), y = x Wᵀ
///   backward/f32|bf16/...    sbora: sbora::linear::backward(dy, dx), dx = dy W
///   .../eigen, openblas, onednn   the peer's product of the same operands, where it is installed
///
/// Row-major activations, W d_out x d_in as PyTorch keeps it. bf16: weight, activations and results. n tokens,
/// t threads (sbora::thread_pool and the peers' own; wall clock where it is more than one).
/// flops: 2 n d_out d_in. bytes: of W, which is what n = 1 is bound by.

#include <set>
#include <string>

#include <sbora/executors/thread_pool.hpp>

#include "peers/peers.hpp"
#include "support/sizes.hpp"
#include "support/suite.hpp"

namespace {

using bench::linear_shape;

enum class direction { forward, backward };

/// The operands of one shape, and which results have been looked at.
template <class Scalar>
struct verified {
  bench::basic_linear_workload<Scalar> work;
  std::set<std::string> done;

  explicit verified(const linear_shape& shape) : work(shape) {}
};

/// Runs `product(work)` once and compares, then measures it.
template <class Scalar, class Product>
void run(benchmark::State& state, const linear_shape& shape, direction way, const std::string& who, Product product) {
  const std::string key = "products " + std::to_string(sizeof(Scalar)) + bench::name_of(shape, 1, false);
  auto& inputs = bench::kept(key, [&] { return std::make_shared<verified<Scalar>>(shape); });
  auto& work = inputs.work;
  product(work);
  if (inputs.done.insert(who).second) {
    if (way == direction::forward) work.verify_forward(bench::no_delta);
    else work.verify_backward(bench::no_delta);
  }
  bench::measure(state, [&] { product(work); });
  bench::count_flops(state, work.products(1));
  bench::count_bytes(state, work.weight_bytes(1));
}

template <class Scalar>
void own(benchmark::State& state, const linear_shape& shape, direction way, int threads, const std::string& who) {
  sbora::workspace memory;
  sbora::thread_pool pool(threads);
  run<Scalar>(state, shape, way, who, [&](auto& work) {
    const sbora::linear layer(work.view());
    if (way == direction::forward) layer.forward(work.x(), work.y(), memory, pool);
    else layer.backward(work.dy(), work.dx(), memory, pool);
  });
}

struct peer {
  const char* name;
  int (*available)(int threads);
  decltype(&eigen_forward) forward;
  decltype(&eigen_backward) backward;
};
constexpr peer peers_f32[] = {{"eigen", eigen_available, eigen_forward, eigen_backward},
                              {"openblas", openblas_available, openblas_forward, openblas_backward},
                              {"onednn", onednn_available, onednn_forward, onednn_backward}};

template <class Scalar, class Function>
void by_peer(benchmark::State& state, const linear_shape& shape, direction way, const std::string& who,
             Function function) {
  run<Scalar>(state, shape, way, who, [&](auto& work) {
    if (way == direction::forward) {
      function(work.input(), work.weight(), work.output(), shape.tokens, shape.d_out, shape.d_in);
    } else {
      function(work.output_gradient(), work.weight(), work.input_gradient(), shape.tokens, shape.d_out, shape.d_in);
    }
  });
}

void add_shape(const linear_shape& shape, direction way, int threads) {
  const std::string operation = way == direction::forward ? "forward" : "backward";
  const double flops = 2.0 * static_cast<double>(shape.tokens * shape.d_out * shape.d_in);
  const std::string where = "/" + bench::name_of(shape, threads, false);
  const auto add = [&](const std::string& type, const std::string& who, auto function) {
    bench::add_threaded(operation + "/" + type + where + "/" + who, threads, function)
        ->Repetitions(bench::repetitions(flops));
  };
  const std::string suffix = " " + operation + std::to_string(threads);
  add("f32", "sbora", [=](auto& state) { own<float>(state, shape, way, threads, "sbora" + suffix); });
  for (const peer& other : peers_f32) {
    if (other.available(threads) == 0) continue;
    add("f32", other.name, [=](auto& state) {
      other.available(threads);
      by_peer<float>(state, shape, way, other.name + suffix,
                     way == direction::forward ? other.forward : other.backward);
    });
  }
  using Eigen::bfloat16;
  add("bf16", "sbora", [=](auto& state) { own<bfloat16>(state, shape, way, threads, "sbora" + suffix); });
  if (onednn_bf16_available(threads) == 0) return;
  add("bf16", "onednn", [=](auto& state) {
    onednn_bf16_available(threads);
    by_peer<bfloat16>(state, shape, way, "onednn" + suffix,
                      way == direction::forward ? onednn_forward_bf16 : onednn_backward_bf16);
  });
}

}  // namespace

void bench::register_suite() {
  benchmark::SetDefaultTimeUnit(benchmark::kMillisecond);
  for (const layer_size& size : layer_sizes()) {
    for (const index_t tokens : token_counts()) {
      for (const int threads : thread_counts()) {
        for (const direction way : {direction::forward, direction::backward}) {
          add_shape({size.d_out, size.d_in, tokens}, way, threads);
        }
      }
    }
  }
}
