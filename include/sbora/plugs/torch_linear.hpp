#pragma once

#include <torch/nn/modules/linear.h>

#include <sbora/plugs/torch_function.hpp>

namespace sbora::inline SBORA_ABI {

/// A torch::nn::Linear that may have an adapter; used by its holder, torch_linear, as torch::nn::Linear is.
///
/// Effect      forward(x) is torch::nn::Linear's until set_adapter, then y = x·(W + s·B·A)ᵀ + bias with sbora's kernels,
///             and so are its gradients with respect to x and the trained half. Weight and bias are frozen then.
/// Shapes      x: any tokens × in_features, float or bfloat16, whatever the weight is of both.
/// Requires    a contiguous weight of float or bfloat16 on the CPU, which is used in place.
/// Lifetime    shares the adapter: its numbers are the parameter `lora_B` (FA, d_out × rank) or `lora_A` (FB,
///             rank × d_in), which torch::optim writes and torch::save and torch::load know. Saving the adapter
///             (model/model_adapter.hpp, io.hpp) saves what PyTorch has trained.
/// Cost        forward: y, and for the backward FA's rank columns of x, FB's x by reference. backward: dx and the
///             gradient. An activation is copied only where its tokens aren't one stride apart.
/// Numerics    as linear: float sums, the same bits for any number of threads; the trained half and its gradient are
///             float. Dropout, in training mode, draws its mask's number from PyTorch's generator: torch::manual_seed
///             repeats it, and so does a checkpoint that restores the generator.
/// Thread      forwards and backwards may run at the same time; each calling thread keeps scratch of its own. They
///             share PyTorch's threads: torch_executor.
/// Errors      shape_error, config_error. Double backward is refused where it is asked for: PyTorch's error then.
///             clone() is refused.
class torch_linear_impl : public torch::nn::LinearImpl {
 public:
  using torch::nn::LinearImpl::LinearImpl;
  /// Over the weight and the bias of another one, which are shared.
  explicit torch_linear_impl(const torch::nn::Linear& base) : torch::nn::LinearImpl(*base) {}

  /// Errors: shape_error for a weight of another shape, or that sbora can't use; config_error for a second adapter.
  /// Nothing is changed then.
  template <adapter_kind Kind>
  void set_adapter(std::shared_ptr<basic_adapter<Kind, float>> adapter) {
    check_adapter(adapter->d_out(), adapter->d_in());
    const std::int64_t rows = adapter->blocks()[0].rows, cols = adapter->blocks()[0].cols;
    const auto owner = [adapter](void*) {};  // keeps it
    start(at::from_blob(adapter->parameters().data(), {rows, cols}, owner, at::kFloat), detail::trains_b(Kind));
    dropout_ = adapter->options().dropout;
    adapter_ = std::move(adapter);
  }

  bool has_adapter() const noexcept { return half_.defined(); }
  /// What set_adapter would throw.
  void check_adapter(index_t d_out, index_t d_in) const {
    const detail::plugged_matrix matrix = detail::torch_weight(weight);
    if (matrix.rows != d_out || matrix.cols != d_in) {
      throw shape_error("sbora::torch_linear: the weight is " + detail::shape_text(matrix.rows, matrix.cols) +
                        ", the adapter is for " + detail::shape_text(d_out, d_in));
    }
    if (has_adapter()) throw config_error("sbora::torch_linear: it has an adapter already");
  }

  at::Tensor forward(const at::Tensor& x) {
    if (!has_adapter()) return torch::nn::LinearImpl::forward(x);
    follow_parameter();
    const bool drops = is_training() && dropout_ > 0;
    const bool trains = drops || (at::GradMode::is_enabled() && half_.requires_grad());
    const std::uint64_t step = drops ? static_cast<std::uint64_t>(next_step()) : 0;
    // Without gradients PyTorch keeps nothing of the call.
    const at::Tensor float_bias = bias.defined() ? bias.to(at::kFloat) : bias;
    return detail::torch_linear_function::apply(
        x, half_, weight, c10::make_intrusive<detail::torch_call>(adapter_, float_bias, drops, step, trains));
  }

  std::shared_ptr<torch::nn::Module> clone(const std::optional<torch::Device>& = std::nullopt) const override {
    throw config_error("sbora::torch_linear: it can't be cloned; make the model again and give it the adapter");
  }
  void pretty_print(std::ostream& stream) const override {
    stream << "sbora::torch_linear(in_features=" << weight.size(1) << ", out_features=" << weight.size(0)
           << ", bias=" << (bias.defined() ? "true" : "false");
    if (has_adapter()) stream << ", adapter=" << half_.sizes();
    stream << ')';
  }

 private:
  void start(at::Tensor half, bool trains_b) {
    const torch::NoGradGuard guard;
    weight.requires_grad_(false);
    if (bias.defined()) bias.requires_grad_(false);
    memory_ = half;
    half_ = register_parameter(trains_b ? "lora_B" : "lora_A", half.alias());
  }

  /// torch::load puts other memory under a parameter: its numbers are the adapter's again. Errors: config_error where
  /// they are of another type, or elsewhere.
  void follow_parameter() {
    if (half_.const_data_ptr() == memory_.const_data_ptr()) return;
    if (half_.scalar_type() != at::kFloat || !half_.device().is_cpu() || half_.sizes() != memory_.sizes()) {
      throw config_error("sbora::torch_linear: its trained half became " + detail::torch_text(half_) + ", it was " +
                         detail::torch_text(memory_) + "; convert a model before it is given an adapter");
    }
    const torch::NoGradGuard guard;
    memory_.copy_(half_);
    half_.set_data(memory_.alias());
  }

  static std::int64_t next_step() { return at::empty({}, at::kLong).random_().item<std::int64_t>(); }

  detail::torch_adapter adapter_;
  double dropout_ = 0;
  at::Tensor memory_;  ///< the adapter's, and what keeps it
  at::Tensor half_;    ///< the parameter
};

/// Holds a torch_linear_impl, as torch::nn::Linear a LinearImpl.
class torch_linear : public torch::nn::ModuleHolder<torch_linear_impl> {
 public:
  using torch::nn::ModuleHolder<torch_linear_impl>::ModuleHolder;
  using Impl = torch_linear_impl;
};

}  // namespace sbora::inline SBORA_ABI
