#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <variant>

#include <sbora/adapters/adapter.hpp>
#include <sbora/core/workspace.hpp>
#include <sbora/layers/adapter_rows.hpp>

#include "model/adapter_plan.hpp"
#include "model/lora.hpp"
#include "model/product_input.hpp"
#include "weights/weight.hpp"

namespace llama {

enum class pass { train, evaluate };

/// Is shown what a frozen layer's backward sees: its input, and the gradients of its output and, as far as it comes
/// from this layer, of its input.
using linear_observer = std::function<void(const matrix& x, const matrix& dy, const matrix& dx,
                                           sbora::workspace& memory, thread_pool& pool)>;

/// A linear layer of the transformer, y = x W^T + bias: frozen, with an adapter on it where it has one, or (in
/// pre-training) with its own weight trained. All of sbora that a trainer has to know is in here.
class projection {
 public:
  /// The bias is referred to; empty: none. The base product reads through `input`, adapters the activations themselves.
  projection(std::string name, sbora::any_weight weight, std::span<const float> bias,
             std::shared_ptr<product_input> input)
      : name_(std::move(name)), weight_(std::move(weight)), bias_(bias), input_(std::move(input)) {}

  const std::string& name() const { return name_; }
  const sbora::any_weight& weight() const { return weight_; }
  index_t d_out() const { return weight_.d_out(); }
  index_t d_in() const { return weight_.d_in(); }

  /// Parameters that an adapter of this method and rank has here.
  index_t parameter_count(adapter_method method, index_t rank) const;

  void remove_adapter() { adapter_ = std::monostate{}; }
  /// Parameters and gradient keep their values.
  void attach_sbora(adapter_method method, sbora::region target, const sbora::adapter_options& options,
                    std::span<float> parameters, std::span<float> gradient);
  void attach_lora(index_t rank, const sbora::adapter_options& options, std::span<float> parameters,
                   std::span<float> gradient);
  /// Serving: every token's adapter by `rows`, which tell of the next pass's tokens. For evaluation only; refers to both.
  void attach_mixed(sbora::delta_list<float> adapters, const sbora::adapter_rows& rows) {
    adapter_.emplace<mixed>(mixed{std::move(adapters), &rows});
  }
  void attach_observer(linear_observer show) { adapter_.emplace<observed>(observed{std::move(show), {}}); }
  /// Null for another kind.
  const sbora::region* target() const;

  /// Trains weight and bias themselves: backward adds to these gradients, d_out x d_in and d_out. Empty: frozen.
  void train_weight(std::span<float> gradient, std::span<float> bias_gradient) {
    weight_gradient_ = gradient;
    bias_gradient_ = bias_gradient;
  }
  std::span<const float> bias() const { return bias_; }

  /// Whether the backward takes the forward's input. FA has kept what it needs of it, rank numbers a token.
  bool needs_input() const;

  void set_training_step(std::uint64_t step) { step_ = step; }

  void forward(const matrix& x, matrix& y, pass what, sbora::workspace& memory, thread_pool& pool);
  /// After forward(pass::train): the gradient of what is trained, and dx unless null. x: the forward's
  /// input where that is needed, else anything.
  void backward(const matrix& x, const matrix& dy, matrix* dx, sbora::workspace& memory, thread_pool& pool);

  /// Bytes that the adapter keeps between forward and backward.
  std::size_t saved_bytes() const;

 private:
  struct fa {
    sbora::fa_adapter<float> adapter;
    sbora::fa_saved<float> saved;
  };
  struct fb {
    sbora::fb_adapter<float> adapter;
    sbora::fb_saved<float> saved;
  };

  struct mixed {
    sbora::delta_list<float> adapters;
    const sbora::adapter_rows* rows;
  };

  struct observed {
    linear_observer show;
    matrix dx;  ///< where nobody else asks for it
  };

  std::string name_;
  sbora::any_weight weight_;
  std::span<const float> bias_;
  std::shared_ptr<product_input> input_;
  std::variant<std::monostate, fa, fb, lora, mixed, observed> adapter_;
  std::span<float> weight_gradient_, bias_gradient_;
  std::uint64_t step_ = 0;
};

/// gradient += dy^T x, cut by its rows so that every sum over tokens has one order.
void add_weight_gradient(const Eigen::Ref<const matrix>& dy, const matrix& x, std::span<float> gradient,
                         thread_pool& pool);

/// gradient += the sum of dy over tokens, likewise.
void add_bias_gradient(const matrix& dy, std::span<float> gradient, thread_pool& pool);

}  // namespace llama
