#pragma once

#include <sbora/layers/grouped_linear.hpp>
#include <sbora/weights/any_weight.hpp>

namespace sbora::inline SBORA_ABI::detail {
template <class Views>
struct grouped_layers_over;
template <class... Views>
struct grouped_layers_over<std::variant<Views...>> {
  using type = std::variant<grouped_linear<Views>...>;
};
}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

/// grouped_linear over weights whose storage is known when the program runs, as checkpoint_weights::experts gives them:
/// the same calls, the same bits.
///
/// Requires    experts of one storage: shape_error.
/// Lifetime    keeps the weights, and what they own.
/// Cost        one branch a call. All calls are compiled for six storages, so include this where it is needed, and
///             compile kernels separately (kernels/instances.hpp).
template <>
class grouped_linear<any_weight> {
  using layer_type = typename detail::grouped_layers_over<any_weight::view_type>::type;

 public:
  using scalar = float;
  using delta_type = weight_delta<float>;

  explicit grouped_linear(std::vector<any_weight> weights) : weights_(std::move(weights)), layer_(layer_of(weights_)) {}

  index_t experts() const noexcept { return std::ssize(weights_); }
  index_t d_out() const noexcept { return weights_.front().d_out(); }
  index_t d_in() const noexcept { return weights_.front().d_in(); }
  any_weight weight(index_t expert) const { return weights_.at(static_cast<std::size_t>(expert)); }

  void set_overlay(index_t expert, const delta_list<float>* list) {
    std::visit([&](auto& layer) { layer.set_overlay(expert, list); }, layer_);
  }
  void set_delta_path(delta_path path) noexcept {
    std::visit([&](auto& layer) { layer.set_delta_path(path); }, layer_);
  }
  void set_batch_invariant(bool invariant) noexcept {
    std::visit([&](auto& layer) { layer.set_batch_invariant(invariant); }, layer_);
  }

  template <class... Arguments>
  void forward(Arguments&&... arguments) const {
    std::visit([&](const auto& layer) { layer.forward(std::forward<Arguments>(arguments)...); }, layer_);
  }
  template <class... Arguments>
  void backward(Arguments&&... arguments) const {
    std::visit([&](const auto& layer) { layer.backward(std::forward<Arguments>(arguments)...); }, layer_);
  }

 private:
  static layer_type layer_of(const std::vector<any_weight>& weights) {
    if (weights.empty()) throw shape_error("sbora::grouped_linear: no weights");
    return weights.front().visit([&]<class View>(const View&) {
      std::vector<View> views;
      for (const any_weight& weight : weights) {
        weight.visit([&]<class Other>(const Other& view) {
          if constexpr (std::is_same_v<Other, View>) views.push_back(view);
        });
        if (views.size() > static_cast<std::size_t>(&weight - weights.data())) continue;
        throw shape_error(
            detail::message({"sbora::grouped_linear: weight ", views.size(), " is of another storage than the first"}));
      }
      return layer_type(grouped_linear<View>(views));
    });
  }

  std::vector<any_weight> weights_;
  layer_type layer_;
};

}  // namespace sbora::inline SBORA_ABI
