/// gemm_nf4_vs_f32            our f32 forward's time over the NF4 forward's, f32 activations, 512 tokens
/// gemm_nf4_bf16_of_peak      NF4 forward with bf16 activations against vdpbf16ps on registers, 512 tokens
/// gemv_nf4_of_bw             1 token: bytes of codes and absmax per second against a read-only pass
/// gemv_nf4_int8_of_bw        the same in compute::int8
/// gemm_nf4_int8_vs_bf16      512 tokens: time of the NF4 forward with bf16 activations over that in compute::int8
/// step_overhead_fa|fb_nf4    forward + backward with dX + AdamW over frozen forward + dX, 512 tokens, minus 1
/// One thread, 4096 x 4096, blocks of 64.

#include <stdexcept>
#include <string>

#include <Eigen/Core>

#include <sbora/layers/int8_error.hpp>
#include <sbora/quantized.hpp>
#include <sbora/sbora.hpp>

#include "../peers/peers.hpp"
#include "../support/in_turn.hpp"
#include "../support/linear_workload.hpp"
#include "../support/read.hpp"
#include "registry.hpp"

namespace bench {
namespace {

using Eigen::bfloat16;
constexpr index_t dim = 4096;

/// A workload whose f32 weight is what the codes stand for, so that its references hold for both.
struct quantised_problem {
  linear_workload work;
  sbora::four_bit_weight codes;
  sbora::linear<sbora::weight_view<float>> dense;
  sbora::linear<sbora::four_bit_view> layer;
  sbora::workspace memory;

  explicit quantised_problem(index_t tokens)
      : work({dim, dim, tokens}), codes(work.view()), dense(work.view()), layer(codes.view()) {
    sbora::dequantize(codes.view(), work.view());
    layer.forward(work.x(), work.y(), memory);
    work.verify(no_delta, false);
  }
};

template <class Adapter>
double step_overhead() {
  quantised_problem p(512);
  auto& work = p.work;
  Adapter adapter(dim, dim, sbora::sample_region(dim, 64, 1));
  fill_uniform(adapter.parameters(), 54, 0.05F);
  typename Adapter::saved_type saved;
  sbora::adamw<float> optimiser(adapter.parameter_count());
  auto x = work.x();
  const auto with = [&] {
    p.layer.forward(x, work.y(), adapter, saved, p.memory);
    p.layer.backward(work.dy(), work.dx(), adapter, saved, p.memory);
    optimiser.step(adapter.parameters(), adapter.gradient(), {1e-4});
    adapter.zero_gradient();
  };
  const auto without = [&] {
    p.layer.forward(x, work.y(), p.memory);
    p.layer.backward(work.dy(), work.dx(), p.memory);
  };
  without();
  work.verify(no_delta, true);
  const alternation measured =
      alternate([&] { return arm(1, arm_seconds, with); }, [&] { return arm(1, arm_seconds, without); });
  note(measured, "with the adapter", "without", 1e3, "ms");
  return measured.ratio() - 1;
}

void note_error(quantised_problem& p) {
  const sbora::int8_error error = sbora::int8_error_of(p.codes.view(), p.work.x());
  if (!(error.relative > 0 && error.worst_token < 0.02)) {
    throw std::runtime_error("the error of int8 is " + std::to_string(error.relative) + ", of the worst token " +
                             std::to_string(error.worst_token));
  }
  note("error of y in int8 " + std::to_string(error.relative) + " of y");
}

double gemv_of_bw(sbora::compute computed_in) {
  in_turn<quantised_problem> problems(dim * dim / 2);
  const auto bytes = static_cast<double>(problems.next().codes.view().bytes());
  if (computed_in == sbora::compute::int8) note_error(problems.next());
  read_arm read;
  const alternation measured = alternate([&] { return read(); },
                                         [&] {
                                           return arm(bytes, arm_seconds, [&] {
                                             quantised_problem& p = problems.next();
                                             p.layer.set_compute(computed_in);
                                             p.layer.forward(p.work.x(), p.work.y(), p.memory);
                                           });
                                         });
  note("read " + std::to_string(1e-9 / median(measured.first)) + " GB/s, codes and scales of the product " +
       std::to_string(1e-9 / median(measured.second)) + " GB/s");
  return measured.ratio();
}

}  // namespace

double gemm_nf4_vs_f32() {
  quantised_problem p(512);
  const alternation measured =
      alternate([&] { return arm(1, arm_seconds, [&] { p.dense.forward(p.work.x(), p.work.y(), p.memory); }); },
                [&] { return arm(1, arm_seconds, [&] { p.layer.forward(p.work.x(), p.work.y(), p.memory); }); });
  note(measured, "f32", "NF4", 1e3, "ms");
  return measured.ratio();
}

double gemm_nf4_bf16_of_peak() {
  const double flops = peak_bf16();
  if (flops == 0) throw std::runtime_error("this machine has no AVX512_BF16, so no peak to compare with");
  quantised_problem p(512);
  using map = Eigen::Map<Eigen::Matrix<bfloat16, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>;
  buffer<bfloat16> x(linear_workload::size(512, dim)), y(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<bfloat16>(p.work.input()[i]);
  map in(x.data(), 512, dim), out(y.data(), 512, dim);
  p.layer.forward(in, out, p.memory);
  for (index_t i = 0; i < 512 * dim; i += 8191) {  // operands rounded to bf16: 4096 terms of errors below 2^-8 each
    const auto at = static_cast<std::size_t>(i);
    const float difference = static_cast<float>(y[at]) - p.work.output()[at];
    if (!(std::abs(difference) < 0.1F)) throw std::runtime_error("the layer's result in bf16 is wrong");
  }
  const double ours = p.work.products(1);
  const alternation measured =
      alternate([&] { return arm(flops, arm_seconds, [] { peak_bf16(); }); },
                [&] { return arm(ours, arm_seconds, [&] { p.layer.forward(in, out, p.memory); }); });
  note("peak " + std::to_string(1e-9 / median(measured.first)) + ", sbora " +
       std::to_string(1e-9 / median(measured.second)) + " GFLOP/s");
  return measured.ratio();
}

double gemv_nf4_of_bw() { return gemv_of_bw(sbora::compute::full); }
double gemv_nf4_int8_of_bw() { return gemv_of_bw(sbora::compute::int8); }

double gemm_nf4_int8_vs_bf16() {
  quantised_problem p(512);
  using map = Eigen::Map<Eigen::Matrix<bfloat16, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>;
  buffer<bfloat16> x(linear_workload::size(512, dim)), y(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<bfloat16>(p.work.input()[i]);
  map in(x.data(), 512, dim), out(y.data(), 512, dim);
  auto rounded = p.layer;
  rounded.set_compute(sbora::compute::int8);
  const alternation measured =
      alternate([&] { return arm(1, arm_seconds, [&] { p.layer.forward(in, out, p.memory); }); },
                [&] { return arm(1, arm_seconds, [&] { rounded.forward(in, out, p.memory); }); });
  note(measured, "bf16", "int8", 1e3, "ms");
  note_error(p);
  return measured.ratio();
}

double step_overhead_fa_nf4() { return step_overhead<sbora::fa_adapter<float>>(); }
double step_overhead_fb_nf4() { return step_overhead<sbora::fb_adapter<float>>(); }

}  // namespace bench
