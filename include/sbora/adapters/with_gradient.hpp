#pragma once

#include <sbora/adapters/adapter.hpp>

namespace sbora::inline SBORA_ABI {

/// An adapter whose gradient goes to other memory in the backwards that are given this in its place.
///
/// Effect      gradient += … writes the span, and the adapter is only read: for autograd systems that want a gradient
///             in a tensor of theirs, and for several backwards of one adapter at a time.
/// Shapes      a span of adapter.parameter_count() numbers, row-major as adapter.gradient().
/// Requires    that size: shape_error.
/// Lifetime    refers to the adapter and to the span.
/// Cost        nothing is copied.
/// Thread      backwards with a span and a workspace each may run at the same time.
template <adapter_kind Kind, class T>
class with_gradient {
 public:
  static constexpr adapter_kind kind = Kind;
  using scalar = T;
  using saved_type = typename basic_adapter<Kind, T>::saved_type;

  with_gradient(const basic_adapter<Kind, T>& adapter, std::span<T> gradient)
      : adapter_(&adapter), gradient_(gradient) {
    if (static_cast<index_t>(gradient.size()) == adapter.parameter_count()) return;
    throw shape_error(detail::message({"sbora::with_gradient: ", adapter.parameter_count(),
                                       " numbers needed, the span given has ", gradient.size()}));
  }
  with_gradient(const basic_adapter<Kind, T>&&, std::span<T>) = delete;  // would dangle: name the adapter

  weight_delta<T> delta() const {
    weight_delta<T> delta = adapter_->delta();
    delta.gradient = gradient_.data();
    return delta;
  }

 private:
  const basic_adapter<Kind, T>* adapter_;
  std::span<T> gradient_;
};

}  // namespace sbora::inline SBORA_ABI
