/// gemv_f16_of_bw, gemv_int8_of_bw, gemv_q4_1_of_bw, gemv_q8_0_of_bw
///                                   1 token: bytes of W per second against a read-only pass over 256 MiB
/// gemm_q4_1_vs_f32, gemm_q4_k_vs_f32
///                                   512 tokens: our f32 forward's time over the one over these blocks
/// gemv_nf4_vs_f32                   our f32 forward's time over the one over nested NF4 codes, 1 token, all cores
/// 4096 x 4096, several weights in turn: out of the caches, as in a model. All but the last on one thread.

#include "../support/cores.hpp"
#include "../support/layer_times.hpp"
#include "../support/read.hpp"
#include "registry.hpp"

namespace bench {
namespace {

constexpr index_t dim = 4096;

std::unique_ptr<timed_layer> layer_of(const char* storage) {
  auto layer = make_timed_layer(storage, dim, dim, std::size_t{256} << 20);
  layer->verify(direction::forward, 1);
  return layer;
}

double gemv_of_bw(const char* storage) {
  const auto layer = layer_of(storage);
  read_arm read;
  const auto product = [&] {
    double seconds = 0, bytes = 0;
    for (; seconds < arm_seconds; bytes += layer->bytes()) seconds += layer->seconds(direction::forward, 1);
    return seconds / bytes;
  };
  const alternation measured = alternate(read, product);
  note("read " + std::to_string(1e-9 / median(measured.first)) + " GB/s, W of the product " +
       std::to_string(1e-9 / median(measured.second)) + " GB/s, spread of the ratio " +
       std::to_string(measured.spread()));
  return measured.ratio();
}

double gemm_vs_f32(const char* storage) {
  const auto f32 = layer_of("f32"), blocks = layer_of(storage);
  const auto once = [](timed_layer& layer) { return layer.seconds(direction::forward, timed_layer::most_tokens); };
  const alternation measured = alternate([&] { return once(*f32); }, [&] { return once(*blocks); });
  note(measured, "f32", storage, 1e3, "ms");
  return measured.ratio();
}

}  // namespace

double gemv_f16_of_bw() { return gemv_of_bw("f16"); }
double gemv_int8_of_bw() { return gemv_of_bw("int8"); }
double gemv_q4_1_of_bw() { return gemv_of_bw("q4_1"); }
double gemv_q8_0_of_bw() { return gemv_of_bw("q8_0"); }

double gemm_q4_1_vs_f32() { return gemm_vs_f32("q4_1"); }
double gemm_q4_k_vs_f32() { return gemm_vs_f32("q4_k"); }

double gemv_nf4_vs_f32() {
  const auto f32 = layer_of("f32"), nf4 = layer_of("nf4");
  const all_cores cores;
  sbora::thread_pool pool(cores.count());
  const auto passes = [&](timed_layer& layer) {
    const double start = now();
    for (int i = 0; i < 16; ++i) layer.seconds(direction::forward, 1, pool);
    return (now() - start) / 16;
  };
  const alternation measured = alternate([&] { return passes(*f32); }, [&] { return passes(*nf4); });
  note(measured, "f32", "NF4", 1e3, "ms");
  return measured.ratio();
}

}  // namespace bench
