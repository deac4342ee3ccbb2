/// gemm_bf16_of_peak      sbora::linear::forward with W, X and Y in bf16, 512 tokens, against vdpbf16ps on
///                        registers
/// gemm_bf16_vs_onednn    against oneDNN's product of the same operands
/// gemv_bf16_of_bw        1 token, W and X in bf16: bytes of W per second against a read-only pass
/// One thread, 4096 x 4096.

#include <cmath>
#include <stdexcept>
#include <string>

#include <Eigen/Core>

#include <sbora/sbora.hpp>

#include "../peers/peers.hpp"
#include "../support/random.hpp"
#include "../support/read.hpp"
#include "registry.hpp"

namespace bench {
namespace {

using sbora::index_t;
using Eigen::bfloat16;
constexpr index_t dim = 4096;

class forward_bf16 {
 public:
  using map = Eigen::Map<Eigen::Matrix<bfloat16, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>;

  explicit forward_bf16(index_t tokens)
      : tokens_(tokens), w_(static_cast<std::size_t>(dim * dim)), x_(static_cast<std::size_t>(tokens * dim)),
        y_(x_.size()), layer_(sbora::weight_view<bfloat16>(w_.data(), dim, dim)) {
    fill_uniform(w_.span(), 61, 0.05F);
    fill_uniform(x_.span(), 62);
    run();
    verify();
  }

  double flops() const { return 2.0 * static_cast<double>(tokens_ * dim * dim); }
  double weight_bytes() const { return 2.0 * static_cast<double>(dim * dim); }
  void run() { layer_.forward(map(x_.data(), tokens_, dim), map(y_.data(), tokens_, dim), memory_); }
  void run_onednn() { onednn_forward_bf16(x_.data(), w_.data(), y_.data(), tokens_, dim, dim); }
  double operator()() {
    return arm(flops(), arm_seconds, [this] { run(); });
  }

  /// Throws unless a spread of y is x W^T within its rounding to bf16.
  void verify() const {
    for (index_t i = 0; i < 61; ++i) {
      const index_t t = i % tokens_, o = i * 7919 % dim;
      double expected = 0;
      for (index_t k = 0; k < dim; ++k) {
        expected += static_cast<double>(at(x_, t, k)) * static_cast<double>(at(w_, o, k));
      }
      const double value = static_cast<double>(at(y_, t, o));
      if (!(std::abs(expected - value) <= 0x1p-8 * std::abs(expected) + 1e-3)) {
        throw std::runtime_error("the layer's result is wrong: " + std::to_string(value) + " instead of " +
                                 std::to_string(expected));
      }
    }
  }

 private:
  static float at(const buffer<bfloat16>& m, index_t row, index_t col) {
    return static_cast<float>(m.data()[row * dim + col]);
  }

  index_t tokens_;
  buffer<bfloat16> w_, x_, y_;
  sbora::linear<sbora::weight_view<bfloat16>> layer_;
  sbora::workspace memory_;
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
  const alternation measured =
      alternate([&] { return arm(flops, arm_seconds, [] { peak_bf16(); }); }, ours);
  note_rates(measured, "peak", "GFLOP/s");
  return measured.ratio();
}

double gemm_bf16_vs_onednn() {
  if (onednn_available(1) == 0) throw std::runtime_error("oneDNN isn't installed (Debian: libdnnl-dev)");
  forward_bf16 ours(512);
  ours.run_onednn();
  ours.verify();
  const alternation measured = alternate(
      [&] { return arm(ours.flops(), arm_seconds, [&] { ours.run_onednn(); }); }, ours, 5);
  note_rates(measured, "oneDNN", "GFLOP/s");
  return measured.ratio();
}

double gemv_bf16_of_bw() {
  forward_bf16 ours(1);
  read_arm read;
  const alternation measured = alternate(
      [&] { return read(); }, [&] { return arm(ours.weight_bytes(), arm_seconds, [&] { ours.run(); }); });
  note_rates(measured, "read", "GB/s");
  return measured.ratio();
}

}  // namespace bench
