#pragma once

#include <type_traits>
#include <utility>

#include "frozen_base.hpp"
#include "network.hpp"

namespace byte_lm {

/// A linear layer without an adapter, over the base's weight where that lies, float or quantised.
template <class Base>
class frozen_layer {
 public:
  frozen_layer(const Base& base, int layer) : linear_(base.weight(layer), base.bias(layer)) {
    base.show_merged(linear_, layer);
  }

  void forward(const matrix& x, matrix& y, pass, thread_pool& pool) { linear_.forward(x, y, workspace_, pool); }
  void backward(const matrix& dy, matrix* dx, thread_pool& pool) {
    if (dx) linear_.backward(dy, *dx, workspace_, pool);
  }

 private:
  sbora::linear<typename Base::weight_type> linear_;
  sbora::workspace workspace_;
};

/// What a trainer has to know of sbora is in this class: a frozen layer with an FA or FB adapter.
template <class Base, class Adapter>
class sbora_layer {
 public:
  sbora_layer(Base& base, int layer, Adapter adapter)
      : base_(&base), layer_(layer), linear_(base.weight(layer), base.bias(layer)), adapter_(std::move(adapter)) {}

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

  void merge(thread_pool& pool) { base_->merge(layer_, adapter_, pool); }
  void unmerge(thread_pool& pool) { base_->unmerge(layer_, adapter_, pool); }

 private:
  static constexpr bool is_fa = std::is_same_v<Adapter, sbora::fa_adapter<float>>;

  Base* base_;
  int layer_;
  sbora::linear<typename Base::weight_type> linear_;
  Adapter adapter_;
  std::conditional_t<is_fa, sbora::fa_saved<float>, sbora::fb_saved<float>> saved_;
  sbora::workspace workspace_;
};

}  // namespace byte_lm
