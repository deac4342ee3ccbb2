// Whole training steps of examples/llama, with random weights, on all cores.
// usage: bench_llama_whole_step NAME FOLDER
//   llama_mfu, llama_mfu_bf16       model flops per second of a step on SmolLM2-135M's shape, FA of rank 32 on q, k, v,
//                                   up and down, 4 x 256 tokens, f32 or with --bf16, over multiply-adds on registers
//   llama_fa_vs_lora, llama_fb_vs_lora   time of a step of FA (FB) of rank 32 over one of LoRA of rank 16; the worse of
//                                   the embedded model, 8 x 256 tokens, and the 100 M one, 4 x 256
// A step is forward, backward and AdamW. FOLDER keeps the checkpoints. Model flops: model_flops.hpp.

#include <cmath>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <sbora/optimisers/adamw.hpp>

#include "../peers/peers.hpp"
#include "../support/cores.hpp"
#include "../support/timing.hpp"
#include "model_flops.hpp"
#include "program/base_model.hpp"
#include "register_peak.hpp"
#include "shapes.hpp"

namespace {

using bench::index_t;
using bench::now;
using llama::adapter_method;

constexpr index_t rank = 32;

class training {
 public:
  training(llama::model net, adapter_method method, index_t sequences, sbora::thread_pool& pool)
      : net_(std::move(net)), batch_(bench::random_tokens(net_.config(), sequences, 256)), pool_(pool) {
    plan_.method = method;
    plan_.rank = method == adapter_method::lora ? rank / 2 : rank;
    net_.attach(plan_);
    optimiser_.emplace(std::ssize(net_.parameters()), sbora::adamw_options{.learning_rate = 3e-4});
  }

  llama::model& net() { return net_; }
  const llama::token_batch& batch() const { return batch_; }

  /// Seconds of a step.
  double operator()() {
    const double start = now();
    net_.set_training_step(++step_);
    gradient();
    optimiser_->step(net_.parameters(), net_.gradient(), {optimiser_->options().learning_rate}, pool_);
    return now() - start;
  }

  /// That without dropout the loss changes along the gradient as the gradient says, by `off` of it at most.
  void verify(double off) {
    llama::adapter_plan plan = plan_;
    plan.dropout = 0;
    net_.attach(plan);
    gradient();
    const std::vector<float> start(net_.parameters().begin(), net_.parameters().end());
    const std::vector<float> slope(net_.gradient().begin(), net_.gradient().end());
    double squares = 0;
    for (const float each : slope) squares += static_cast<double>(each) * each;
    const double length = std::sqrt(squares), h = 0.02 / length;
    double change = 0;
    for (const double way : {1.0, -1.0}) {
      for (std::size_t i = 0; i < start.size(); ++i) {
        net_.parameters()[i] = start[i] + static_cast<float>(way * h / length) * slope[i];
      }
      change += way * net_.evaluate(batch_, pool_).mean() / (2 * h);
    }
    if (!(std::abs(change - length) < off * length)) throw std::runtime_error("the gradient is wrong");
    net_.attach(plan_);
  }

 private:
  void gradient() {
    net_.zero_gradient();
    net_.forward_backward(batch_, 1.0F / static_cast<float>(batch_.sequences * (batch_.length - 1)), pool_);
  }

  llama::adapter_plan plan_;
  llama::model net_;
  llama::token_batch batch_;
  sbora::thread_pool& pool_;
  std::optional<sbora::adamw<float>> optimiser_;
  std::uint64_t step_ = 0;
};

double utilisation(bool bf16, const std::filesystem::path& folder, sbora::thread_pool& pool) {
  const auto multiply_adds = bf16 ? peak_bf16 : peak_f32;
  if (multiply_adds() == 0) throw std::runtime_error("this machine has no multiply-adds of bf16");
  llama::load_options options;
  options.bf16 = bf16;
  training step(bench::load(bench::smollm2(), folder / "smollm2", options, pool), adapter_method::sbora_fa, 4, pool);
  step.verify(bf16 ? 0.1 : 0.02);
  const double flops = bench::model_flops(step.net(), step.batch());
  const bench::alternation measured = bench::alternate(
      bench::register_peak(pool, multiply_adds), [&] { return step() / flops; }, 5);
  const double seconds = flops * bench::median(measured.second);
  std::fprintf(stderr, "  peak %.4g GFLOP/s, a step of %.4g GFLOP %.4g s, %.4g tokens/s, spread of the ratio %.2g\n",
               1e-9 / bench::median(measured.first), 1e-9 * flops, seconds,
               static_cast<double>(step.batch().mask.size()) / seconds, measured.spread());
  return measured.ratio();
}

double over_lora(adapter_method method, const std::filesystem::path& folder, sbora::thread_pool& pool) {
  struct shape {
    const char* name;
    llama::model_config config;
    index_t sequences;
    int pairs;
  };
  double worst = 0;
  for (const shape& each :
       {shape{"embedded", llama::embedded_config(), 8, 25}, shape{"hundred_million", bench::hundred_million(), 4, 5}}) {
    const auto make = [&](adapter_method kind) {
      return training(bench::load(each.config, folder / each.name, {}, pool), kind, each.sequences, pool);
    };
    training ours = make(method), lora = make(adapter_method::lora);
    ours.verify(0.02);
    lora.verify(0.02);
    const bench::alternation measured = bench::alternate(ours, lora, each.pairs);
    std::fprintf(stderr, "  %s: %.4g s, LoRA %.4g s, ratio %.4g, spread of the ratio %.2g\n", each.name,
                 bench::median(measured.first), bench::median(measured.second), measured.ratio(), measured.spread());
    worst = std::max(worst, measured.ratio());
  }
  return worst;
}

int run(const std::string& name, const std::filesystem::path& folder) {
  const bench::all_cores cores;
  sbora::thread_pool pool(cores.count());
  const bool is_utilisation = name == "llama_mfu" || name == "llama_mfu_bf16";
  const double ratio =
      is_utilisation
          ? utilisation(name == "llama_mfu_bf16", folder, pool)
          : over_lora(name == "llama_fa_vs_lora" ? adapter_method::sbora_fa : adapter_method::sbora_fb, folder, pool);
  std::fprintf(stderr, "  %d threads, %s\n", pool.threads(), sbora::to_string(sbora::active_isa()));
  std::printf("ratio %s %.4g\n", name.c_str(), ratio);
  return 0;
}

}  // namespace

int main(int count, char** words) {
  if (count != 3) {
    std::fputs("usage: bench_llama_whole_step llama_mfu|llama_mfu_bf16|llama_fa_vs_lora|llama_fb_vs_lora FOLDER\n",
               stderr);
    return 2;
  }
  try {
    return run(words[1], words[2]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_llama_whole_step: %s\n", error.what());
    return 1;
  }
}
