/// gemm_f32_of_peak                     sbora::linear::forward, 512 tokens, against multiply-adds on registers
/// gemm_f32_vs_eigen, gemm_f32_vs_onednn[_n16, _n64]   against the peer's product of the same operands
/// gemv_f32_of_bw                       1 token: bytes of W per second against a read-only pass over 256 MiB
/// One thread, f32, 4096 x 4096. Of one token several weights in turn: out of the caches, as in a model.

#include <string>

#include "../peers/peers.hpp"
#include "../support/in_turn.hpp"
#include "../support/linear_workload.hpp"
#include "../support/read.hpp"
#include "registry.hpp"

namespace bench {
namespace {

constexpr index_t dim = 4096;

class forward_arm {
 public:
  explicit forward_arm(index_t tokens) : work_({dim, dim, tokens}), layer_(work_.view()) {
    run();
    work_.verify(no_delta, false);
  }
  linear_workload& work() { return work_; }
  void run() { layer_.forward(work_.x(), work_.y(), memory_); }
  /// Seconds per flop.
  double operator()() {
    return arm(work_.products(1), arm_seconds, [this] { run(); });
  }

 private:
  linear_workload work_;
  sbora::linear<sbora::weight_view<float>> layer_;
  sbora::workspace memory_;
};

void note_flops(const alternation& measured, const char* first, const char* second) {
  note(std::string(first) + " " + std::to_string(1e-9 / median(measured.first)) + " GFLOP/s, " + second + " " +
       std::to_string(1e-9 / median(measured.second)) + " GFLOP/s, spread of the ratio " +
       std::to_string(measured.spread()));
}

using peer_function = void (*)(const float*, const float*, float*, std::ptrdiff_t, std::ptrdiff_t, std::ptrdiff_t);

double against(const char* name, peer_function peer, index_t tokens) {
  forward_arm ours(tokens);
  linear_workload& work = ours.work();
  const auto run = [&] { peer(work.input(), work.weight(), work.output(), tokens, dim, dim); };
  run();
  work.verify(no_delta, false);
  const alternation measured = alternate([&] { return arm(work.products(1), arm_seconds, run); }, ours);
  note_flops(measured, name, "sbora");
  return measured.ratio();
}

double against_onednn(index_t tokens) {
  if (onednn_available(1) == 0) throw std::runtime_error("oneDNN isn't installed (Debian: libdnnl-dev)");
  return against("oneDNN", onednn_forward, tokens);
}

}  // namespace

double gemm_f32_of_peak() {
  forward_arm ours(512);
  const double flops = peak_f32();
  const alternation measured = alternate([&] { return arm(flops, arm_seconds, [] { peak_f32(); }); }, ours);
  note_flops(measured, "peak", "sbora");
  return measured.ratio();
}

double gemm_f32_vs_eigen() { return against("Eigen", eigen_forward, 512); }
double gemm_f32_vs_onednn() { return against_onednn(512); }
double gemm_f32_vs_onednn_n16() { return against_onednn(16); }
double gemm_f32_vs_onednn_n64() { return against_onednn(64); }

double gemv_f32_of_bw() {
  constexpr std::size_t bytes = sizeof(float) * dim * dim;
  in_turn<forward_arm> ours(bytes);
  read_arm read;
  const alternation measured = alternate(
      [&] { return read(); }, [&] { return arm(static_cast<double>(bytes), arm_seconds, [&] { ours.next().run(); }); });
  note("read " + std::to_string(1e-9 / median(measured.first)) + " GB/s, W of the product " +
       std::to_string(1e-9 / median(measured.second)) + " GB/s, spread of the ratio " +
       std::to_string(measured.spread()));
  return measured.ratio();
}

}  // namespace bench
