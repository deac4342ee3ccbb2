// plug NAME: a training step of FA over 4096 x 4096 f32, 512 tokens, rank 64, through plugs/torch.hpp.
//   torch_plug_step            the same by PyTorch's operations, under its autograd / it; one thread, wall clock
//   torch_plug_processor_time  its processor time of all threads on PyTorch's two / that of its calls alone on them:
//                              more where threads of two pools wait for each other's cores

#include <cstdio>
#include <ctime>

#include <torch/torch.h>

#include <sbora/plugs/torch.hpp>
#include <sbora/sbora.hpp>

#include "../../support/cores.hpp"
#include "../../support/timing.hpp"

namespace {

using torch::Tensor;

constexpr std::int64_t d_out = 4096, d_in = 4096, tokens = 512, rank = 64;
const sbora::adapter_options options{.alpha = 128};

struct workload {
  Tensor weight = torch::randn({d_out, d_in}) / 64, x = torch::randn({tokens, d_in}).requires_grad_(),
         dy = torch::randn({tokens, d_out});
  sbora::region target = sbora::sample_region(d_in, rank, 1);
};

/// The official layer's arithmetic, as its Python has it.
class torch_step {
 public:
  explicit torch_step(workload& w)
      : w_(w),
        indices_(torch::tensor(std::vector<std::int64_t>(w.target.indices().begin(), w.target.indices().end()))) {}

  Tensor operator()() {
    w_.x.mutable_grad() = Tensor();
    Tensor y = torch::nn::functional::linear(w_.x, w_.weight);
    y.add_(torch::nn::functional::linear(w_.x.index_select(-1, indices_), half_) * (options.alpha / rank));
    y.backward(w_.dy);
    optimiser_.step();
    optimiser_.zero_grad();
    return y.detach();
  }
  const Tensor& half() const { return half_; }

 private:
  workload& w_;
  Tensor indices_, half_ = torch::zeros({d_out, rank}).requires_grad_();
  torch::optim::AdamW optimiser_{std::vector<Tensor>{half_}, torch::optim::AdamWOptions(1e-3)};
};

class plug_step {
 public:
  explicit plug_step(workload& w) : w_(w) {
    torch::nn::Linear base(torch::nn::LinearOptions(1, 1).bias(false));
    base->weight.set_data(w.weight);
    layer_ = sbora::torch_linear(base);
    layer_->set_adapter(std::make_shared<sbora::fa_adapter<float>>(d_out, d_in, w.target, options));
    optimiser_.emplace(layer_->parameters(), torch::optim::AdamWOptions(1e-3));
  }

  Tensor operator()() {
    Tensor y = gradients();
    optimiser_->step();
    optimiser_->zero_grad();
    return y.detach();
  }
  Tensor gradients() {
    w_.x.mutable_grad() = Tensor();
    Tensor y = layer_->forward(w_.x);
    y.backward(w_.dy);
    return y;
  }
  Tensor half() const { return layer_->parameters().back(); }

 private:
  workload& w_;
  sbora::torch_linear layer_{nullptr};
  std::optional<torch::optim::AdamW> optimiser_;
};

/// sbora's calls alone, on PyTorch's threads.
class own_step {
 public:
  explicit own_step(workload& w)
      : w_(w),
        layer_(sbora::weight_view<const float>(w.weight.const_data_ptr<float>(), d_out, d_in)),
        adapter_(d_out, d_in, w.target, options) {}

  void gradients() {
    using in = sbora::activation_view<const float>;
    using out = sbora::activation_view<float>;
    layer_.forward(in(w_.x.const_data_ptr<float>(), tokens, d_in), out(y_.data_ptr<float>(), tokens, d_out), adapter_,
                   saved_, memory_, pool_);
    layer_.backward(in(w_.dy.const_data_ptr<float>(), tokens, d_out), out(dx_.data_ptr<float>(), tokens, d_in),
                    adapter_, saved_, memory_, pool_);
  }

 private:
  workload& w_;
  sbora::linear<sbora::weight_view<const float>> layer_;
  sbora::fa_adapter<float> adapter_;
  sbora::fa_saved<float> saved_;
  sbora::workspace memory_;
  sbora::torch_executor pool_;
  Tensor y_ = torch::empty({tokens, d_out}), dx_ = torch::empty({tokens, d_in});
};

double processor_now() {
  timespec time{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

/// Of f's mean, in the time that `clock` says.
template <class Function>
double mean_of(double (*clock)(), const Function& f) {
  int steps = 0;
  const double start = clock(), begin = bench::now();
  do {
    f();
    ++steps;
  } while (bench::now() - begin < 0.5);
  return (clock() - start) / steps;
}

void report(const char* name, const bench::alternation& measured, const char* first, const char* second) {
  std::fprintf(stderr, "  %s: %.4g ms, %s: %.4g ms, spread of the ratio %.2g\n", first,
               1e3 * bench::median(measured.first), second, 1e3 * bench::median(measured.second), measured.spread());
  std::printf("ratio %s %.4g\n", name, measured.ratio());
}

int step_ratio(const char* name) {
  torch::set_num_threads(1);
  workload w;
  torch_step theirs(w);
  plug_step ours(w);
  for (int i = 0; i < 2; ++i) {  // the second sees the first's update
    const Tensor y = theirs(), dx = w.x.grad().clone(), own_y = ours();
    for (const auto& [a, b] : {std::pair(y, own_y), std::pair(dx, w.x.grad()), std::pair(theirs.half(), ours.half())}) {
      const double worst = ((a - b).abs().max() / a.abs().max()).item<double>();
      if (!(worst < 2e-3)) return std::fprintf(stderr, "differs from PyTorch's by %.2g\n", worst), 1;
    }
  }
  report(name,
         bench::alternate([&] { return mean_of(bench::now, [&] { theirs(); }); },
                          [&] { return mean_of(bench::now, [&] { ours(); }); }, 11),
         "PyTorch", "the plug");
  return 0;
}

int processor_time_ratio(const char* name) {
  const bench::all_cores cores;
  if (cores.count() < 2) return std::fprintf(stderr, "two cores needed\n"), 2;
  torch::set_num_threads(2);
  workload w;
  plug_step ours(w);
  own_step alone(w);
  report(name,
         bench::alternate([&] { return mean_of(processor_now, [&] { ours.gradients(); }); },
                          [&] { return mean_of(processor_now, [&] { alone.gradients(); }); }, 11),
         "the plug", "sbora alone");
  return 0;
}

}  // namespace

int main(int count, char** arguments) {
  const std::string name = count > 1 ? arguments[1] : "";
  if (name == "torch_plug_step") return step_ratio(name.c_str());
  if (name == "torch_plug_processor_time") return processor_time_ratio(name.c_str());
  return 2;
}
