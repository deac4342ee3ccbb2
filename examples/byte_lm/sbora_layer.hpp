#pragma once

#include <type_traits>
#include <utility>

#include "network.hpp"

namespace byte_lm {

using frozen_weight = sbora::weight_view<const float>;

/// The base model's weight as sbora sees it: where it lies, never copied, not writable.
inline frozen_weight frozen(const model_view& model, int layer) {
  return {model.weight(layer).data(), model_view::outputs(layer), width};
}

/// A linear layer without an adapter.
class frozen_layer {
 public:
  frozen_layer(const model_view& model, int layer)
      : linear_(frozen(model, layer), model.bias(layer)) {}

  void forward(const matrix& x, matrix& y, pass, thread_pool& pool) {
    linear_.forward(x, y, workspace_, pool);
  }
  void backward(const matrix& dy, matrix* dx, thread_pool& pool) {
    if (dx) linear_.backward(dy, *dx, workspace_, pool);
  }

 private:
  sbora::linear<frozen_weight> linear_;
  sbora::workspace workspace_;
};

/// What a trainer has to know of sbora is in this class: a frozen layer with an FA or FB adapter.
template <class Adapter>
class sbora_layer {
 public:
  sbora_layer(const model_view& model, int layer, Adapter adapter)
      : linear_(frozen(model, layer), model.bias(layer)),
        adapter_(std::move(adapter)),
        merger_(sbora::weight_view<float>(model.weight(layer).data(), model_view::outputs(layer),
                                          width)) {}

  void forward(const matrix& x, matrix& y, pass what, thread_pool& pool) {
    if (what == pass::train) {
      linear_.forward(x, y, adapter_, saved_, workspace_, pool);
    } else {
      linear_.forward(x, y, adapter_, workspace_, pool);
    }
  }

  void backward(const matrix& dy, matrix* dx, thread_pool& pool) {
    if (dx) {
      linear_.backward(dy, *dx, adapter_, saved_, workspace_, pool);
    } else {
      linear_.backward(dy, sbora::no_dx, adapter_, saved_, workspace_, pool);
    }
  }

  /// Adds the adapter to the base's weight, touching only the rows or columns of its region.
  void merge(thread_pool& pool) { merger_.merge(adapter_, pool); }
  /// Puts back what was there.
  void unmerge(thread_pool& pool) { merger_.unmerge(adapter_, pool); }

 private:
  static constexpr bool is_fa = std::is_same_v<Adapter, sbora::fa_adapter<float>>;

  sbora::linear<frozen_weight> linear_;
  Adapter adapter_;
  std::conditional_t<is_fa, sbora::fa_saved<float>, sbora::fb_saved<float>> saved_;
  sbora::workspace workspace_;
  sbora::merger<float> merger_;
};

}  // namespace byte_lm
