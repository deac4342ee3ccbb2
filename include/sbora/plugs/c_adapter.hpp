#pragma once

#include <optional>
#include <variant>

#include <sbora/executors/thread_pool.hpp>
#include <sbora/merge/merger.hpp>
#include <sbora/optimisers/adamw.hpp>
#include <sbora/plugs/plugged_layer.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// A call of c.h that has to come after another one.
class c_order_error : public error {
 public:
  using error::error;
};

/// What c.h's sbora_adapter is: an adapter, what its calls keep from one to the next, and the weight that it is merged
/// into. Each member is the function of that name there.
class c_adapter {
  using any_adapter = std::variant<fa_adapter<float>, fb_adapter<float>>;
  using any_merger = std::variant<merger<float>, merger<Eigen::bfloat16>>;

 public:
  c_adapter(adapter_kind kind, index_t d_out, index_t d_in, region target, double alpha)
      : adapter_(with_kind(kind, [&](auto which) -> any_adapter {
          return basic_adapter<which, float>(d_out, d_in, std::move(target), {.alpha = alpha});
        })) {}

  /// f(the adapter, of whichever kind).
  template <class Function>
  decltype(auto) visit(Function&& f) {
    return std::visit(std::forward<Function>(f), adapter_);
  }
  template <class Function>
  decltype(auto) visit(Function&& f) const {
    return std::visit(std::forward<Function>(f), adapter_);
  }

  void forward(const plugged_matrix& weight, lasting_span<float> bias, const plugged_matrix& x, const plugged_matrix& y,
               bool training, any_executor pool) {
    const plugged_layer layer(weight, bias);
    if (training) return training_forward(layer, x, y, pool);
    const weight_delta<float> delta = visit([](const auto& adapter) { return adapter.delta(); });
    layer.forward(x, y, {&delta, merged_ ? 0U : 1U}, memory_, pool);
  }

  void backward(const plugged_matrix& weight, const plugged_matrix& dy, const plugged_matrix* dx, any_executor pool) {
    require_unmerged();
    if (!input_) throw c_order_error("sbora_backward: no training forward before it");
    check_same_type("dy", dy, "the training forward's x", *input_);
    const plugged_layer layer(weight);
    visit([&]<adapter_kind Kind>(basic_adapter<Kind, float>& adapter) {
      adapter_in_call<Kind> call(adapter, false, 0, adapter.gradient().data());
      if (dx != nullptr) layer.backward(dy, *dx, call, saved(), memory_, pool);
      else plugged_layer::gradient(dy, call, saved(), memory_, pool);
    });
  }

  void adamw_step(const adamw_options& options, any_executor pool) {
    visit([&](auto& adapter) {
      if (!optimiser_ || !same_but_rate(options, optimiser_->options())) {
        adamw<float> made(adapter.parameter_count(), options);
        if (optimiser_) {
          std::ranges::copy(optimiser_->first_moment(), made.first_moment().begin());
          std::ranges::copy(optimiser_->second_moment(), made.second_moment().begin());
          made.set_steps(optimiser_->steps());
        }
        optimiser_ = std::move(made);
      }
      optimiser_->step(adapter.parameters(), adapter.gradient(), options.learning_rate, pool);
    });
  }

  void merge(const plugged_matrix& weight, any_executor pool) {
    if (merged_) throw c_order_error("sbora_merge: the adapter is merged already; unmerge it first");
    any_merger made = with_elements(weight, [&]<class T>(T* data) -> any_merger {
      return merger<T>(weight_view<T>(data, weight.rows, weight.cols, weight.stride));
    });
    visit([&](const auto& adapter) { std::visit([&](auto& into) { into.merge(adapter, pool); }, made); });
    merged_ = std::move(made);
  }

  void unmerge(any_executor pool) {
    if (!merged_) throw c_order_error("sbora_unmerge: the adapter isn't merged");
    visit([&](const auto& adapter) { std::visit([&](auto& from) { from.unmerge(adapter, pool); }, *merged_); });
    merged_.reset();
  }

 private:
  void require_unmerged() const {
    if (merged_) throw c_order_error("sbora: the adapter is merged: unmerge it before it is trained on");
  }

  void training_forward(const plugged_layer& layer, const plugged_matrix& x, const plugged_matrix& y,
                        any_executor pool) {
    require_unmerged();
    visit([&]<adapter_kind Kind>(const basic_adapter<Kind, float>& adapter) {
      // It only grows: what the last forward kept is still there where this one fails.
      const bool saves = saves_gathered(Kind) && x.cols == adapter.d_in();
      const auto needed = saves ? static_cast<std::size_t>(x.rows * adapter.rank()) : 0;
      if (needed > gathered_.size()) gathered_.resize(needed);
      adapter_in_call<Kind> call(adapter, false, 0);
      layer.forward(x, y, call, {gathered_, x}, memory_, pool);
    });
    input_ = x;
  }

  plugged_saved saved() noexcept { return {gathered_, *input_}; }

  static bool same_but_rate(const adamw_options& a, const adamw_options& b) noexcept {
    return a.beta1 == b.beta1 && a.beta2 == b.beta2 && a.epsilon == b.epsilon && a.weight_decay == b.weight_decay;
  }

  any_adapter adapter_;
  workspace memory_;
  std::vector<float> gathered_;
  std::optional<plugged_matrix> input_;  ///< of the last training forward
  std::optional<adamw<float>> optimiser_;
  std::optional<any_merger> merged_;
};

}  // namespace sbora::inline SBORA_ABI::detail
