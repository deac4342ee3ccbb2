#pragma once

#include <array>
#include <cstddef>
#include <cstring>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include <sbora/quantized.hpp>

#include "model.hpp"
#include "common/matrix.hpp"

namespace byte_lm {

inline std::size_t index_of(int layer) { return static_cast<std::size_t>(layer); }

/// The frozen base model with its weights in float, where pre-training left them. A base has
///   weight(layer), bias(layer)   what sbora::linear takes
///   show_merged(linear, layer)   for layers without an adapter: they compute with what is merged
///   merge, unmerge(layer, adapter, pool)
///   values(layer), assign(layer, values)   all elements, for methods that change all of them
///   save(), restore(saved), is(saved)      the weights to the last bit
class dense_base {
 public:
  using weight_type = sbora::weight_view<const float>;
  using saved = std::array<matrix, layer_count>;

  explicit dense_base(const model_view& model) : model_(model), mergers_{merger(0), merger(1), merger(2)} {}

  const model_view& model() const { return model_; }
  std::size_t bytes() const {
    std::size_t count = 0;
    for (int layer = 0; layer < layer_count; ++layer) {
      count += static_cast<std::size_t>(model_.weight(layer).size()) * sizeof(float);
    }
    return count;
  }

  weight_type weight(int layer) const { return {model_.weight(layer).data(), model_view::outputs(layer), width}; }
  std::span<const float> bias(int layer) const { return model_.bias(layer); }
  void show_merged(sbora::linear<weight_type>&, int) const {}  // it is in the weight

  /// Adds the adapter to the weight, touching only the rows or columns of its region.
  template <class Adapter>
  void merge(int layer, const Adapter& adapter, thread_pool& pool) {
    mergers_[index_of(layer)].merge(adapter, pool);
  }
  /// Puts back what was there.
  template <class Adapter>
  void unmerge(int layer, const Adapter& adapter, thread_pool& pool) {
    mergers_[index_of(layer)].unmerge(adapter, pool);
  }

  matrix values(int layer) const { return model_.weight(layer); }
  void assign(int layer, const matrix& values) { model_.weight(layer) = values; }

  saved save() const { return {values(0), values(1), values(2)}; }
  void restore(const saved& from) {
    for (int layer = 0; layer < layer_count; ++layer) assign(layer, from[index_of(layer)]);
  }
  bool is(const saved& other) const {
    for (int layer = 0; layer < layer_count; ++layer) {
      const matrix now = values(layer);
      const auto size = static_cast<std::size_t>(now.size()) * sizeof(float);
      if (std::memcmp(now.data(), other[index_of(layer)].data(), size) != 0) return false;
    }
    return true;
  }

 private:
  sbora::merger<float> merger(int layer) const {
    return sbora::merger<float>({model_.weight(layer).data(), model_view::outputs(layer), width});
  }

  model_view model_;
  std::array<sbora::merger<float>, layer_count> mergers_;
};

/// The same with quantised weights: Codes is sbora::four_bit_weight or sbora::int8_weight. Adapters are merged
/// beside the codes, which stay as they are.
template <class Codes>
class quantised_base {
 public:
  using weight_type = decltype(std::declval<const Codes&>().view());
  using saved = std::array<std::shared_ptr<const Codes>, layer_count>;
  using quantiser = std::function<Codes(const sbora::weight_view<const float>&)>;

  quantised_base(const model_view& model, quantiser quantise)
      : model_(model), quantise_(std::move(quantise)), merged_{overlay(0), overlay(1), overlay(2)} {
    for (int layer = 0; layer < layer_count; ++layer) assign(layer, model_.weight(layer));
  }

  const model_view& model() const { return model_; }
  std::size_t bytes() const {
    std::size_t count = 0;
    for (const auto& codes : codes_) count += codes->view().bytes();
    return count;
  }

  weight_type weight(int layer) const { return codes_[index_of(layer)]->view(); }
  std::span<const float> bias(int layer) const { return model_.bias(layer); }
  void show_merged(sbora::linear<weight_type>& linear, int layer) const {
    linear.set_overlay(&merged_[index_of(layer)].deltas());
  }

  template <class Adapter>
  void merge(int layer, const Adapter& adapter, thread_pool&) {
    merged_[index_of(layer)].merge(adapter);
  }
  template <class Adapter>
  void unmerge(int layer, const Adapter& adapter, thread_pool&) {
    merged_[index_of(layer)].unmerge(adapter);
  }

  matrix values(int layer) const {
    matrix all(model_view::outputs(layer), width);
    sbora::dequantize(weight(layer), sbora::weight_view<float>(all.data(), all.rows(), all.cols()));
    return all;
  }
  /// Rounds them. Layers that were made before keep the weight that they had, as long as someone saved it.
  void assign(int layer, const matrix& values) {
    codes_[index_of(layer)] = std::make_shared<const Codes>(
        quantise_(sbora::weight_view<const float>(values.data(), values.rows(), values.cols())));
  }

  saved save() const { return codes_; }
  void restore(const saved& from) { codes_ = from; }
  bool is(const saved& other) const {
    for (std::size_t layer = 0; layer < codes_.size(); ++layer) {
      if (bits_of(*codes_[layer]) != bits_of(*other[layer])) return false;
    }
    return true;
  }

 private:
  static sbora::overlay<float> overlay(int layer) { return sbora::overlay<float>(model_view::outputs(layer), width); }

  /// All codes and scales.
  static std::vector<std::byte> bits_of(const Codes& codes) {
    std::vector<std::byte> all;
    const auto add = [&](const auto& numbers) {
      const auto bytes = std::as_bytes(std::span(numbers));
      all.insert(all.end(), bytes.begin(), bytes.end());
    };
    const weight_type view = codes.view();
    add(view.codes());
    if constexpr (requires { view.scales(); }) {
      add(view.scales().absmax);
      add(view.scales().absmax_codes);
      add(view.scales().nested_absmax);
      add(std::array{view.scales().nested_offset});
    } else {
      add(view.absmax());
    }
    return all;
  }

  model_view model_;
  quantiser quantise_;
  saved codes_;
  std::array<sbora::overlay<float>, layer_count> merged_;
};

}  // namespace byte_lm
