#pragma once

#include <sbora/layers/linear.hpp>
#include <sbora/weights/any_weight.hpp>

namespace sbora::inline SBORA_ABI::detail {
template <class Views>
struct layers_over;
template <class... Views>
struct layers_over<std::variant<Views...>> {
  using type = std::variant<linear<Views>...>;
};
}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

/// linear over a weight whose storage is known when the program runs: the same calls, the same bits.
///
/// Cost        one branch a call. All calls are compiled for seven storages, so include this where it is needed, and
///             compile kernels separately (kernels/instances.hpp).
template <>
class linear<any_weight> {
  using layer_type = typename detail::layers_over<any_weight::view_type>::type;

 public:
  using weight_type = any_weight;
  using scalar = float;
  using delta_type = weight_delta<float>;

  explicit linear(any_weight weight)
      : weight_(std::move(weight)), layer_(weight_.visit([](const auto& view) {
          return layer_type(linear<std::remove_cvref_t<decltype(view)>>(view));
        })) {}
  /// With a bias of d_out numbers, which is referred to. Errors: shape_error.
  linear(any_weight weight, lasting_span<float> bias)
      : weight_(std::move(weight)), layer_(weight_.visit([&](const auto& view) {
          return layer_type(linear<std::remove_cvref_t<decltype(view)>>(view, bias));
        })) {}

  index_t d_out() const noexcept { return weight_.d_out(); }
  index_t d_in() const noexcept { return weight_.d_in(); }
  const any_weight& weight() const& noexcept { return weight_; }
  const any_weight& weight() const&& = delete;  // would dangle: name the object

  void set_overlay(const delta_list<float>* list) {
    std::visit([&](auto& layer) { layer.set_overlay(list); }, layer_);
  }
  delta_path path() const noexcept {
    return std::visit([](const auto& layer) { return layer.path(); }, layer_);
  }
  void set_delta_path(delta_path path) noexcept {
    std::visit([&](auto& layer) { layer.set_delta_path(path); }, layer_);
  }

  bool batch_invariant() const noexcept {
    return std::visit([](const auto& layer) { return layer.batch_invariant(); }, layer_);
  }
  void set_batch_invariant(bool invariant) noexcept {
    std::visit([&](auto& layer) { layer.set_batch_invariant(invariant); }, layer_);
  }

  compute computed_in() const noexcept {
    return std::visit([](const auto& layer) { return layer.computed_in(); }, layer_);
  }
  void set_compute(compute computed_in) noexcept {
    std::visit([&](auto& layer) { layer.set_compute(computed_in); }, layer_);
  }

  template <class... Arguments>
  void forward(Arguments&&... arguments) const {
    std::visit([&](const auto& layer) { layer.forward(std::forward<Arguments>(arguments)...); }, layer_);
  }
  template <class... Arguments>
  void backward(Arguments&&... arguments) const {
    std::visit([&](const auto& layer) { layer.backward(std::forward<Arguments>(arguments)...); }, layer_);
  }
  template <class Result = float, class... Arguments>
  std::size_t workspace_bytes(const Arguments&... arguments) const {
    return std::visit([&](const auto& layer) { return layer.template workspace_bytes<Result>(arguments...); }, layer_);
  }

 private:
  any_weight weight_;
  layer_type layer_;
};

}  // namespace sbora::inline SBORA_ABI
