#pragma once

#include <span>
#include <variant>

#include <sbora/adapters/adapter.hpp>
#include <sbora/layers/linear.hpp>
#include <sbora/plugs/plugged_matrix.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// An adapter in one training call of another system's: what a call changes of an adapter (its gradient, which dropout
/// mask is next) is the call's own, so that any number of calls may run at the same time.
template <adapter_kind Kind>
class adapter_in_call {
 public:
  static constexpr adapter_kind kind = Kind;
  using scalar = float;
  using saved_type = typename basic_adapter<Kind, float>::saved_type;

  adapter_in_call(const basic_adapter<Kind, float>& adapter, bool drops, std::uint64_t dropout_step,
                  float* gradient = nullptr)
      : adapter_(&adapter), drops_(drops), dropout_step_(dropout_step), gradient_(gradient) {}
  adapter_in_call(const basic_adapter<Kind, float>&&, bool, std::uint64_t, float* = nullptr) = delete;  // name it

  index_t rank() const noexcept { return adapter_->rank(); }
  std::uint64_t dropout_step() const noexcept { return dropout_step_; }
  std::uint64_t next_dropout_step() const noexcept { return dropout_step_; }
  weight_delta<float> delta() const {
    weight_delta<float> delta = adapter_->delta();
    delta.gradient = gradient_;
    if (!drops_) delta.dropout = 0;
    return delta;
  }

 private:
  const basic_adapter<Kind, float>* adapter_;
  bool drops_;
  std::uint64_t dropout_step_;
  float* gradient_;
};

/// What a backward needs of its forward, in memory of the other system's.
struct plugged_saved {
  std::span<float> gathered;  ///< FA: tokens × rank, which the forward fills
  plugged_matrix input;       ///< FB: x, unchanged
};

/// The calls of linear<weight_view> on matrices whose types are known when the program runs: what the plugs to other
/// systems share. Weight and activations are f32 or bf16 each; x and y, and dy and dx, are of one type.
///
/// Requires, numerics, cost, errors: as linear; shape_error besides where types differ.
/// Lifetime    refers to the weight and to the bias.
/// Thread      as linear.
class plugged_layer {
 public:
  explicit plugged_layer(const plugged_matrix& weight, lasting_span<float> bias = {})
      : layer_(with_elements(weight, [&]<class T>(T* data) -> any_layer {
          const weight_view<const T> view(data, weight.rows, weight.cols, weight.stride);
          return bias.empty() ? linear<weight_view<const T>>(view) : linear<weight_view<const T>>(view, bias);
        })) {}

  /// y = x·(W + ΔW₁ + …)ᵀ + bias, eval mode.
  void forward(const plugged_matrix& x, const plugged_matrix& y, std::span<const weight_delta<float>> deltas,
               workspace& memory, any_executor pool) const {
    call("x", x, "y", y, [&](const auto& layer, auto in, auto out) { layer.forward(in, out, deltas, memory, pool); });
  }

  /// The same in training mode; fills `saved`.
  template <adapter_kind Kind>
  void forward(const plugged_matrix& x, const plugged_matrix& y, adapter_in_call<Kind>& adapter,
               const plugged_saved& saved, workspace& memory, any_executor pool) const {
    call("x", x, "y", y, [&]<class T>(const auto& layer, activation_view<const T> in, activation_view<T> out) {
      if constexpr (saves_gathered(Kind)) {
        fa_saved<float> gathered(saved.gathered);
        layer.forward(in, out, adapter, gathered, memory, pool);
      } else {
        fb_saved<float, T> input;
        layer.forward(in, out, adapter, input, memory, pool);
      }
    });
  }

  /// dx = dy·(W + ΔW₁ + …), without gradients.
  void backward(const plugged_matrix& dy, const plugged_matrix& dx, std::span<const weight_delta<float>> deltas,
                workspace& memory, any_executor pool) const {
    call("dy", dy, "dx", dx,
         [&](const auto& layer, auto in, auto out) { layer.backward(in, out, deltas, memory, pool); });
  }

  /// The adapter's gradient, and dx = dy·(W + s·B·A).
  template <adapter_kind Kind>
  void backward(const plugged_matrix& dy, const plugged_matrix& dx, adapter_in_call<Kind>& adapter,
                const plugged_saved& saved, workspace& memory, any_executor pool) const {
    call("dy", dy, "dx", dx, [&]<class T>(const auto& layer, activation_view<const T> in, activation_view<T> out) {
      with_saved<T>(adapter, dy.rows, saved,
                    [&](const auto& kept) { layer.backward(in, out, adapter, kept, memory, pool); });
    });
  }

  /// The gradient alone: an adapter whose input needs none.
  template <adapter_kind Kind>
  static void gradient(const plugged_matrix& dy, adapter_in_call<Kind>& adapter, const plugged_saved& saved,
                       workspace& memory, any_executor pool) {
    with_elements(dy, [&]<class T>(T*) {
      with_saved<T>(adapter, dy.rows, saved, [&](const auto& kept) {
        delta_backward(adapter, plugged_activation<const T>(dy), no_dx, kept, memory, pool);
      });
    });
  }

 private:
  using any_layer = std::variant<linear<weight_view<const float>>, linear<weight_view<const Eigen::bfloat16>>>;

  /// f(layer, input, result).
  template <class Function>
  void call(const char* in_name, const plugged_matrix& in, const char* out_name, const plugged_matrix& out,
            const Function& f) const {
    check_same_type(in_name, in, out_name, out);
    std::visit(
        [&](const auto& layer) {
          with_elements(in,
                        [&]<class T>(T*) { f(layer, plugged_activation<const T>(in), plugged_activation<T>(out)); });
        },
        layer_);
  }

  /// f(what a forward of inputs of T saved).
  template <class T, adapter_kind Kind, class Function>
  static void with_saved(const adapter_in_call<Kind>& adapter, index_t tokens, const plugged_saved& saved,
                         const Function& f) {
    if constexpr (saves_gathered(Kind)) {
      f(fa_saved<float>::from(saved.gathered, tokens, adapter.rank(), adapter.dropout_step()));
    } else {
      const auto input = as_stored_activation<const float>(plugged_activation<const T>(saved.input));
      f(fb_saved<float, T>::from(input, adapter.dropout_step()));
    }
  }

  any_layer layer_;
};

}  // namespace sbora::inline SBORA_ABI::detail
