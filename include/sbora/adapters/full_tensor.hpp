#pragma once

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include <sbora/adapters/parameter_block.hpp>
#include <sbora/adapters/trained_numbers.hpp>
#include <sbora/core/checked_size.hpp>

namespace sbora::inline SBORA_ABI {

/// A tensor of the model that an adapter trains and replaces as a whole: a bias, the weight of a normalisation or of a
/// head, as PEFT's `bias` and `modules_to_save` do.
///
/// Effect      begins as the values given, the model's; whoever computes with the tensor takes parameters() in its
///             place, and adds to gradient().
/// Shapes      parameters() and gradient(): all elements, row-major.
/// Lifetime    owns its memory, or uses the caller's, which has to outlive it. A copy has memory of its own.
/// Cost        2·parameter_count() numbers.
/// Thread      as an adapter.
/// Errors      shape_error for another number of values than the shape has.
template <class T>
class full_tensor : public detail::trained_numbers<T> {
 public:
  /// `name` as the model's files have it: model.norm.weight.
  full_tensor(std::string name, std::vector<index_t> shape, const std::vector<T>& values)
      : full_tensor(std::move(name), std::move(shape)) {
    const index_t count = require_count();
    if (std::ssize(values) != count) {
      throw shape_error(detail::message({who(), " has ", values.size(), " values, its shape has ", count}));
    }
    this->own(count);
    std::copy(values.begin(), values.end(), this->parameters().begin());
  }
  /// On the caller's memory, which keeps its contents. An empty gradient: for inference.
  full_tensor(std::string name, std::vector<index_t> shape, std::span<T> parameters, std::span<T> gradient)
      : full_tensor(std::move(name), std::move(shape)) {
    this->use(who().c_str(), require_count(), parameters, gradient);
  }
  full_tensor(const full_tensor& other) : full_tensor(other.name_, other.shape_) {
    this->own(other.parameter_count());
    std::copy(other.parameters().begin(), other.parameters().end(), this->parameters().begin());
    std::copy(other.gradient().begin(), other.gradient().end(), this->gradient().begin());
  }
  full_tensor(full_tensor&&) noexcept = default;
  full_tensor& operator=(const full_tensor& other) { return *this = full_tensor(other); }
  full_tensor& operator=(full_tensor&&) noexcept = default;
  ~full_tensor() = default;

  const std::string& name() const& noexcept { return name_; }
  std::string name() && noexcept { return std::move(name_); }
  const std::vector<index_t>& shape() const& noexcept { return shape_; }
  std::vector<index_t> shape() && noexcept { return std::move(shape_); }

  /// As optimisers of matrices take it: the last dimension by all others.
  std::array<parameter_block, 1> blocks() const noexcept {
    const index_t count = this->parameter_count(), cols = shape_.empty() ? 1 : shape_.back();
    return {{{0, cols > 0 ? count / cols : 0, cols}}};
  }

 private:
  full_tensor(std::string name, std::vector<index_t> shape) : name_(std::move(name)), shape_(std::move(shape)) {}

  std::string who() const { return "sbora::full_tensor: '" + name_ + "'"; }
  index_t require_count() const { return detail::require_product(who().c_str(), shape_); }

  std::string name_;
  std::vector<index_t> shape_;
};

}  // namespace sbora::inline SBORA_ABI
