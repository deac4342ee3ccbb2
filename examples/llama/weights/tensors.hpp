#pragma once

#include <deque>
#include <map>
#include <string>
#include <vector>

#include <sbora/io/bitsandbytes/bitsandbytes.hpp>
#include <sbora/io/checkpoint/checkpoint.hpp>

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
      : checkpoint_(sbora::checkpoint::open(directory)), codes_(checkpoint_.tensors()) {}
  const sbora::tensor_view* find(const std::string& name) const override;
  std::optional<frozen_weight> quantised(const std::string& name) const override;
  std::string place(const std::string& name) const override;
  /// Shows a tensor under another name too.
  void add_name(const std::string& name, const std::string& stored);
  /// Without those that belong to a quantised weight.
  std::vector<std::string> names() const;

 private:
  sbora::checkpoint checkpoint_;
  sbora::bitsandbytes_weights codes_;
  std::optional<sbora::tensor_view> added_;
  std::string added_from_;
};

/// Tensors in one flat array of floats, so that it can be trained as one.
class flat_tensors final : public tensor_source {
 public:
  /// Zeros.
  explicit flat_tensors(const std::vector<tensor_shape>& shapes);
  const sbora::tensor_view* find(const std::string& name) const override;

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
