#pragma once

#include <optional>
#include <string>
#include <string_view>

#include <sbora/io/gguf/gguf_names.hpp>
#include <sbora/io/tensor.hpp>
#include <sbora/model/model_adapter.hpp>
#include <sbora/weights/any_weight.hpp>

#include "common/matrix.hpp"
#include "weights/load_options.hpp"

namespace llama {

/// "a.b" of "a.b.weight".
std::string_view module_of(std::string_view weight);

/// Where a model's tensors come from: a checkpoint or memory.
class tensor_source {
 public:
  virtual ~tensor_source() = default;
  /// Null where there is none of that name.
  virtual const sbora::tensor_view* find(const std::string& name) const = 0;
  /// A linear layer's sizes, whatever its weight is stored as; nothing where there is none of that name.
  virtual std::optional<sbora::model_module> find_module(std::string_view module) const = 0;
  /// Its weight, in place. Requires: there is such a module.
  virtual sbora::any_weight weight(std::string_view module) const = 0;
  /// "FILE: " of the tensor, for messages; empty in memory.
  virtual std::string place(const std::string&) const { return {}; }
  /// Of a GGUF file, whose order of rows may be another than Hugging Face's; null otherwise.
  virtual const sbora::gguf_names* gguf() const { return nullptr; }

  /// Whether a weight is there as codes or as fp8, by its tensor's name.
  bool is_quantised(const std::string& name) const;
};

/// A weight as it is stored. Errors: input_error naming a tensor that is missing or of another type.
sbora::any_weight load_dense(const tensor_source& from, const std::string& name);

/// The table of an embedding or a head: dense, in bfloat16 where the options say so, or ggml's blocks. Errors as
/// load_dense.
sbora::any_weight load_table(const tensor_source& from, const std::string& name, const load_options& options,
                             thread_pool& pool);

/// A linear layer's weight as the options want it; one that is stored quantised as it is. Errors: as load_dense;
/// input_error naming file, tensor and place of a value that isn't finite and so can't be quantised.
sbora::any_weight load_linear(const tensor_source& from, const std::string& name, const load_options& options,
                              thread_pool& pool);

/// One row in float, whatever the weight's kind.
void read_row(const sbora::any_weight& weight, index_t row, float* out);

/// out[i] = row ids[i] in float.
void lookup(const sbora::any_weight& table, std::span<const std::int32_t> ids, matrix& out, thread_pool& pool);

/// All values in float. Errors as load_dense.
std::vector<float> to_floats(const sbora::tensor_view& tensor);

/// A vector in float. Errors as load_dense.
std::vector<float> load_vector(const tensor_source& from, const std::string& name);

}  // namespace llama
