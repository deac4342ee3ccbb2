#pragma once

#include <memory>
#include <optional>
#include <string>
#include <variant>

#include <sbora/io/tensor.hpp>
#include <sbora/weights/four_bit_view.hpp>
#include <sbora/weights/int8_view.hpp>
#include <sbora/weights/weight_view.hpp>

#include "common/matrix.hpp"
#include "weights/load_options.hpp"

namespace llama {

/// A frozen linear layer's weight as sbora takes it.
using weight_source = std::variant<sbora::weight_view<const float>, sbora::weight_view<const Eigen::bfloat16>,
                                   sbora::weight_view<const Eigen::half>, sbora::four_bit_view, sbora::int8_view>;

struct frozen_weight {
  weight_source source;
  std::shared_ptr<const void> owner;  ///< of codes made here; null where they are the checkpoint's
  std::size_t bytes;

  index_t d_out() const;
  index_t d_in() const;
  /// Rows [first, first + count), in place. Not of codes.
  weight_source rows(index_t first, index_t count) const;
};

/// Where a model's tensors come from: a checkpoint or memory.
class tensor_source {
 public:
  virtual ~tensor_source() = default;
  /// Null where there is none of that name.
  virtual const sbora::tensor_view* find(const std::string& name) const = 0;
  /// A weight that is stored quantised, in place; nothing where there is none of that name.
  virtual std::optional<frozen_weight> quantised(const std::string&) const { return std::nullopt; }
  /// "FILE: " of the tensor, for messages; empty in memory.
  virtual std::string place(const std::string&) const { return {}; }
};

/// A weight as it is stored. Errors: input_error naming a tensor that is missing or of another type.
frozen_weight load_dense(const tensor_source& from, const std::string& name);

/// A linear layer's weight as the options want it; one that is stored quantised as it is. Errors: as load_dense;
/// input_error naming file, tensor and place of a value that isn't finite and so can't be quantised.
frozen_weight load_linear(const tensor_source& from, const std::string& name, const load_options& options,
                          thread_pool& pool);

/// One row in float, whatever the weight's kind.
void read_row(const frozen_weight& weight, index_t row, float* out);

/// out[i] = row ids[i] in float.
void lookup(const frozen_weight& table, std::span<const std::int32_t> ids, matrix& out, thread_pool& pool);

/// All values in float. Errors as load_dense.
std::vector<float> to_floats(const sbora::tensor_view& tensor);

/// A vector in float. Errors as load_dense.
std::vector<float> load_vector(const tensor_source& from, const std::string& name);

}  // namespace llama
