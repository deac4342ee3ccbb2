/// gemm_bf16_of_peak      sbora::linear::forward with W, X and Y in bf16, 512 tokens, against vdpbf16ps on
///                        registers
/// gemm_bf16_vs_onednn    against oneDNN's product of the same operands
/// gemv_bf16_of_bw        1 token, W and X in bf16: bytes of W per second against a read-only pass
/// One thread, 4096 x 4096.

#include <stdexcept>
#include <string>

#include "../peers/peers.hpp"
#include "../support/in_turn.hpp"
#include "../support/linear_workload.hpp"
#include "../support/read.hpp"
#include "registry.hpp"

namespace bench {
namespace {

using Eigen::bfloat16;
constexpr index_t dim = 4096;

struct forward_bf16 {
  basic_linear_workload<bfloat16> work;
  sbora::linear<sbora::weight_view<bfloat16>> layer;
  sbora::workspace memory;

  explicit forward_bf16(index_t tokens) : work({dim, dim, tokens}), layer(work.view()) {
    run();
    work.verify(no_delta, false);
  }
  void run() { layer.forward(work.x(), work.y(), memory); }
  void run_onednn() { onednn_forward_bf16(work.input(), work.weight(), work.output(), work.sizes().tokens, dim, dim); }
  /// Seconds per flop.
  double operator()() {
    return arm(work.products(1), arm_seconds, [this] { run(); });
  }
};

void note_rates(const alternation& measured, const char* first, const char* unit) {
  note(std::string(first) + " " + std::to_string(1e-9 / median(measured.first)) + ", sbora " +
       std::to_string(1e-9 / median(measured.second)) + " " + unit + ", spread of the ratio " +
       std::to_string(measured.spread()));
}

}  // namespace

double gemm_bf16_of_peak() {
  const double flops = peak_bf16();
  if (flops == 0) throw std::runtime_error("this machine has no AVX512_BF16, so no peak to compare with");
  forward_bf16 ours(512);
  const alternation measured = alternate([&] { return arm(flops, arm_seconds, [] { peak_bf16(); }); }, ours);
  note_rates(measured, "peak", "GFLOP/s");
  return measured.ratio();
}

double gemm_bf16_vs_onednn() {
  if (onednn_bf16_available(1) == 0) {
    throw std::runtime_error("oneDNN (Debian: libdnnl-dev) isn't installed, or has no bf16 for this processor");
  }
  forward_bf16 ours(512);
  ours.run_onednn();
  ours.work.verify(no_delta, false);
  const alternation measured =
      alternate([&] { return arm(ours.work.products(1), arm_seconds, [&] { ours.run_onednn(); }); }, ours, 5);
  note_rates(measured, "oneDNN", "GFLOP/s");
  return measured.ratio();
}

double gemv_bf16_of_bw() {
  constexpr std::size_t bytes = sizeof(bfloat16) * dim * dim;
  in_turn<forward_bf16> ours(bytes);
  read_arm read;
  const alternation measured = alternate(
      [&] { return read(); }, [&] { return arm(static_cast<double>(bytes), arm_seconds, [&] { ours.next().run(); }); });
  note_rates(measured, "read", "GB/s");
  return measured.ratio();
}

}  // namespace bench
