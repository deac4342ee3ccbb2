#pragma once

#include <deque>
#include <map>
#include <string>
#include <vector>

#include <sbora/io/checkpoint/checkpoint_weights.hpp>

#include "weights/weight.hpp"

namespace llama {

struct tensor_shape {
  std::string name;
  std::vector<index_t> shape;

  index_t elements() const { return shape.size() == 2 ? shape[0] * shape[1] : shape[0]; }
};

/// Tensors in a checkpoint, mapped.
class checkpoint_tensors final : public tensor_source {
 public:
  explicit checkpoint_tensors(const std::filesystem::path& directory)
      : checkpoint_(sbora::checkpoint::open(directory)), weights_(checkpoint_) {}
  checkpoint_tensors(const checkpoint_tensors&) = delete;  // weights_ refers to checkpoint_
  checkpoint_tensors& operator=(const checkpoint_tensors&) = delete;
  const sbora::tensor_view* find(const std::string& name) const override;
  std::optional<sbora::model_module> find_module(std::string_view module) const override;
  sbora::any_weight weight(std::string_view module) const override;
  std::string place(const std::string& name) const override;
  /// Shows a tensor under another name too.
  void add_name(const std::string& name, const std::string& stored);
  /// Without those that belong to a quantised weight.
  std::vector<std::string> names() const;

 private:
  sbora::checkpoint checkpoint_;
  sbora::checkpoint_weights weights_;
  std::optional<sbora::tensor_view> added_;
  std::string added_from_;

  /// The module's name in the checkpoint.
  std::string_view stored_name(std::string_view module) const;
};

/// Tensors in one flat array of floats, so that it can be trained as one.
class flat_tensors final : public tensor_source {
 public:
  /// Zeros.
  explicit flat_tensors(const std::vector<tensor_shape>& shapes);
  const sbora::tensor_view* find(const std::string& name) const override;
  std::optional<sbora::model_module> find_module(std::string_view module) const override;
  sbora::any_weight weight(std::string_view module) const override;

  std::span<float> all() { return values_; }
  /// One tensor's part of all(), or of another array of that size.
  std::span<float> part(const std::string& name, std::span<float> of) const;
  std::span<const sbora::tensor_view> tensors() const { return views_; }

 private:
  std::vector<float> values_;
  std::vector<sbora::tensor_view> views_;
  std::map<std::string, std::size_t> index_;
};

}  // namespace llama
