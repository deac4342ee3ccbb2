#pragma once

#include <memory>

#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/functions/basic_ops.h>

#include <sbora/plugs/plugged_layer.hpp>
#include <sbora/plugs/torch_executor.hpp>
#include <sbora/plugs/torch_tensors.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// An adapter that a torch_linear and the graphs over it share.
using torch_adapter = std::variant<std::shared_ptr<fa_adapter<float>>, std::shared_ptr<fb_adapter<float>>>;

/// One call of a torch_linear: what its backward needs besides tensors.
struct torch_call final : torch::CustomClassHolder {
  torch_adapter adapter;
  at::Tensor bias;  ///< float, or undefined
  bool drops;
  std::uint64_t dropout_step;
  bool trains;  ///< or else the adapter is a part of the frozen weight

  torch_call(torch_adapter adapter_, at::Tensor bias_, bool drops_, std::uint64_t step, bool trains_)
      : adapter(std::move(adapter_)), bias(std::move(bias_)), drops(drops_), dropout_step(step), trains(trains_) {}

  plugged_layer layer(const at::Tensor& weight) const {
    if (!bias.defined()) return plugged_layer(torch_weight(weight));
    return plugged_layer(torch_weight(weight),
                         lasting_span<float>(bias.const_data_ptr<float>(), static_cast<std::size_t>(bias.numel())));
  }
  weight_delta<float> delta() const& {
    return std::visit([](const auto& of) { return of->delta(); }, adapter);
  }
  weight_delta<float> delta() const&& = delete;  // would dangle: name the call
};

/// Scratch of the calling thread's: it grows to what the largest call needs and stays.
inline workspace& torch_workspace() {
  thread_local workspace memory;
  return memory;
}

/// What FA's backward reads, or FB's, in the tensor that the forward saved.
inline plugged_saved torch_saved(const at::Tensor& saved, bool gathered) {
  if (!gathered) return {{}, torch_matrix("x", saved)};
  return {{const_cast<float*>(saved.const_data_ptr<float>()), static_cast<std::size_t>(saved.numel())}, {}};
}

/// Results of a backward that PyTorch was asked to differentiate: doing so is refused, using them isn't.
inline torch::autograd::variable_list differentiable_once(torch::autograd::variable_list results) {
  if (!at::GradMode::is_enabled()) return results;
  for (at::Tensor& result : results) {
    if (result.defined()) result = result.detach().requires_grad_();
  }
  const char* const refusal =
      "sbora::torch_linear: its backward can't be differentiated (double backward); use torch::nn::Linear where second "
      "derivatives are needed";
  torch::autograd::DelayedError once(refusal, static_cast<std::int64_t>(results.size()));
  return once.apply(std::move(results));
}

/// y = x·(W + s·B·A)ᵀ + bias, and its gradients with respect to x and the trained half, on the tensors' memory.
struct torch_linear_function final : torch::autograd::Function<torch_linear_function> {
  using context = torch::autograd::AutogradContext;

  static at::Tensor forward(context* ctx, const at::Tensor& x, const at::Tensor& half, const at::Tensor& weight,
                            const c10::intrusive_ptr<torch_call>& call) {
    const at::Tensor rows = torch_rows(x);
    const at::Tensor y = torch_result(x, weight.size(0));
    const plugged_matrix in = torch_matrix("x", rows), out = torch_matrix("y", torch_rows(y));
    at::Tensor kept;
    if (call->trains) {
      std::visit(
          [&]<adapter_kind Kind>(const std::shared_ptr<basic_adapter<Kind, float>>& adapter) {
            constexpr bool gathers = saves_gathered(Kind);
            kept = gathers ? at::empty({rows.size(0), adapter->rank()}, at::kFloat) : rows;
            adapter_in_call<Kind> its(*adapter, call->drops, call->dropout_step);
            call->layer(weight).forward(in, out, its, torch_saved(kept, gathers), torch_workspace(), pool());
          },
          call->adapter);
    } else {
      const weight_delta<float> delta = call->delta();
      call->layer(weight).forward(in, out, {&delta, 1}, torch_workspace(), pool());
    }
    ctx->save_for_backward({kept, half, weight});
    ctx->saved_data["call"] = c10::IValue::make_capsule(call);
    return y;
  }

  static torch::autograd::variable_list backward(context* ctx, const torch::autograd::variable_list& gradients) {
    const auto saved = ctx->get_saved_variables();
    const at::Tensor &kept = saved[0], &half = saved[1], &weight = saved[2];
    const auto call = c10::static_intrusive_pointer_cast<torch_call>(ctx->saved_data["call"].toCapsule());
    const at::Tensor rows = torch_rows(gradients[0]);
    const plugged_matrix dy = torch_matrix("dy", rows);
    const bool has_dx = ctx->needs_input_grad(0), has_gradient = ctx->needs_input_grad(1);
    at::Tensor dx, gradient;
    plugged_matrix in = dy;
    if (has_dx) {
      dx = torch_result(gradients[0], weight.size(1));
      in = torch_matrix("dx", torch_rows(dx));
    }
    if (call->trains) {
      gradient = at::zeros_like(half);
      std::visit(
          [&]<adapter_kind Kind>(const std::shared_ptr<basic_adapter<Kind, float>>& adapter) {
            adapter_in_call<Kind> its(*adapter, call->drops, call->dropout_step, gradient.mutable_data_ptr<float>());
            const plugged_saved forwards = torch_saved(kept, saves_gathered(Kind));
            if (has_dx) call->layer(weight).backward(dy, in, its, forwards, torch_workspace(), pool());
            else plugged_layer::gradient(dy, its, forwards, torch_workspace(), pool());
          },
          call->adapter);
    } else if (has_dx) {
      const weight_delta<float> delta = call->delta();
      call->layer(weight).backward(dy, in, {&delta, 1}, torch_workspace(), pool());
    }
    return differentiable_once({dx, has_gradient ? gradient : at::Tensor(), at::Tensor(), at::Tensor()});
  }

 private:
  static torch_executor& pool() {
    static torch_executor threads;
    return threads;
  }
};

}  // namespace sbora::inline SBORA_ABI::detail
