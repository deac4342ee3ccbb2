#pragma once

#include <deque>
#include <map>
#include <string>
#include <vector>

#include <sbora/io/bitsandbytes/bitsandbytes.hpp>
#include <sbora/io/checkpoint/checkpoint.hpp>

#include "model/config.hpp"
#include "model/model.hpp"
#include "weights/weight.hpp"

namespace llama {

/// A tensor that a LlamaForCausalLM of this configuration has.
struct tensor_shape {
  std::string name;
  std::vector<index_t> shape;

  index_t elements() const { return shape.size() == 2 ? shape[0] * shape[1] : shape[0]; }
};
std::vector<tensor_shape> tensors_of(const model_config& config);

/// Checks that all are there, of the right shape, and no others. Errors: input_error that lists all problems.
void check_tensors(const tensor_source& source, std::span<const std::string> names,
                   const std::vector<tensor_shape>& expected, bool tied);

/// Tensors in a checkpoint, mapped.
class checkpoint_tensors final : public tensor_source {
 public:
  explicit checkpoint_tensors(const std::filesystem::path& directory)
      : checkpoint_(sbora::checkpoint::open(directory)), codes_(checkpoint_.tensors()) {}
  const sbora::tensor_view* find(const std::string& name) const override;
  std::optional<frozen_weight> quantised(const std::string& name) const override;
  std::string place(const std::string& name) const override;
  /// Shows lm_head.weight as model.embed_tokens.weight too, for a tied model whose file has the head alone.
  void take_head_for_embedding();
  /// Without those that belong to a quantised weight.
  std::vector<std::string> names() const;

 private:
  sbora::checkpoint checkpoint_;
  sbora::bitsandbytes_weights codes_;
  std::optional<sbora::tensor_view> embedding_;
};

/// What of a checkpoint's tensors isn't computed with, though they are there, is looked at here.
///
/// Effect      a head beside a tied embedding: where it is equal, it is the embedding; where it isn't, the configuration
///             becomes untied, as transformers 5 has it; where the embedding isn't there, the head stands for it.
///             Rotary frequencies of old files follow from the configuration, as in transformers.
/// Returns     a line for each of these that users should know of
std::vector<std::string> settle_unused_tensors(checkpoint_tensors& tensors, model_config& config);

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
