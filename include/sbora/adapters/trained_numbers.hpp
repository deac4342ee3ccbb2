#pragma once

#include <algorithm>
#include <span>
#include <string>

#include <sbora/core/aligned_memory.hpp>
#include <sbora/core/errors.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// What an optimiser takes of whatever is trained (adapters, full tensors, tokens, all of a model's): the numbers and
/// their gradients.
///
/// Lifetime    owns both arrays, or uses the caller's, which have to outlive it. Spans stay valid after a move; what
///             was moved from has none.
/// Thread      as its owner.
template <class T>
class trained_numbers {
 public:
  index_t parameter_count() const noexcept { return static_cast<index_t>(parameters_.value.size()); }
  /// These refer to the object's memory: of a temporary they don't compile.
  std::span<T> parameters() & noexcept { return parameters_.value; }
  std::span<const T> parameters() const& noexcept { return parameters_.value; }
  std::span<const T> parameters() const&& = delete;  // would dangle: name the object
  std::span<T> gradient() & noexcept { return gradient_.value; }
  std::span<const T> gradient() const& noexcept { return gradient_.value; }
  std::span<const T> gradient() const&& = delete;  // would dangle: name the object
  void zero_gradient() noexcept { std::fill(gradient_.value.begin(), gradient_.value.end(), T{0}); }

 protected:
  trained_numbers() = default;

  /// Memory of its own, zeroed.
  void own(index_t count) {
    owned_ = make_aligned_array<T>(2 * count);
    std::fill_n(owned_.get(), 2 * count, T{0});
    parameters_.value = {owned_.get(), static_cast<std::size_t>(count)};
    gradient_.value = {owned_.get() + count, static_cast<std::size_t>(count)};
  }
  /// The caller's, which keeps its contents. An empty gradient: for inference. Errors: shape_error, `who` comes first.
  void use(const char* who, index_t count, std::span<T> parameters, std::span<T> gradient) {
    const auto check = [&](const char* what, std::span<const T> given) {
      if (std::ssize(given) == count) return;
      throw shape_error(message({who, ": ", count, " ", what, " needed, the span given has ", given.size()}));
    };
    check("parameters", parameters);
    if (!gradient.empty()) check("gradients", gradient);
    parameters_.value = parameters;
    gradient_.value = gradient;
  }
  /// What weight_delta has, also of a const object; null for inference.
  T* gradient_of_delta() const noexcept { return gradient_.value.empty() ? nullptr : gradient_.value.data(); }
  bool owns_memory() const noexcept { return owned_.get() != nullptr; }

 private:
  aligned_array<T> owned_;
  reset_on_move<std::span<T>> parameters_;
  reset_on_move<std::span<T>> gradient_;
};

}  // namespace sbora::inline SBORA_ABI::detail
