#pragma once

#include <sbora/io/bitsandbytes/bitsandbytes.hpp>
#include <sbora/io/checkpoint/checkpoint.hpp>
#include <sbora/io/checkpoint/fp8_weights.hpp>
#include <sbora/model/model_adapter.hpp>

namespace sbora::inline SBORA_ABI {

/// The linear layers' weights of a checkpoint by their modules' names, whatever they are stored as: floats, fp8
/// with scales, or bitsandbytes' codes, whose tensors have other shapes and types than the weights.
///
/// Effect      a module is what has a tensor "MODULE.weight" of two dimensions and of F32, F16 or BF16, or of codes
///             or fp8 that have scales. With fan_in_fan_out, floats lie d_in × d_out (Conv1D); codes never do.
/// Lifetime    the checkpoint has to outlive this.
/// Cost        one pass over the names.
/// Thread      immutable.
/// Errors      checkpoint_error where states of quantised weights are broken, and, of visit(), where the checkpoint has
///             no such module: with what it has in its place.
class checkpoint_weights {
 public:
  explicit checkpoint_weights(const checkpoint& model, bool fan_in_fan_out = false)
      : model_(&model), codes_(model.tensors()), fp8_(model.tensors()), transposed_(fan_in_fan_out) {}

  /// All of them, shard after shard, in the order of their bytes. Errors: checkpoint_error where all weights but
  /// embeddings are codes that sbora can't read.
  std::vector<model_module> modules() const {
    std::vector<model_module> found;
    for (const tensor_view& tensor : model_->tensors()) {
      if (!tensor.name.ends_with(ending) || tensor.name.size() == ending.size()) continue;
      const std::string module = tensor.name.substr(0, tensor.name.size() - ending.size());
      if (const auto size = size_of(tensor)) found.push_back({module, size->first, size->second});
    }
    return found;
  }

  /// f(view) of a module's weight: a weight_view<const float>, <const Eigen::half> or <const Eigen::bfloat16>, a
  /// four_bit_view, an int8_view or an fp8_view.
  template <class Function>
  decltype(auto) visit(std::string_view module, Function&& f) const {
    const std::string name = std::string(module) + std::string(ending);
    if (const four_bit_view* const codes = codes_.find_four_bit(name)) return f(*codes);
    if (const int8_view* const codes = codes_.find_int8(name)) return f(*codes);
    if (const fp8_view* const codes = fp8_.find(name)) return f(*codes);
    const tensor_view* const tensor = model_->find(name);
    if (tensor == nullptr || !size_of(*tensor)) refuse(name, tensor);
    switch (tensor->type) {
      case dtype::f16: return visit_dense<Eigen::half>(*tensor, f);
      case dtype::bf16: return visit_dense<Eigen::bfloat16>(*tensor, f);
      default: return visit_dense<float>(*tensor, f);
    }
  }

 private:
  static constexpr std::string_view ending = ".weight";

  std::optional<std::pair<index_t, index_t>> size_of(const tensor_view& tensor) const {
    if (const four_bit_view* const codes = codes_.find_four_bit(tensor.name)) return {{codes->d_out(), codes->d_in()}};
    if (const int8_view* const codes = codes_.find_int8(tensor.name)) return {{codes->d_out(), codes->d_in()}};
    if (const fp8_view* const codes = fp8_.find(tensor.name)) return {{codes->d_out(), codes->d_in()}};
    const bool is_float = tensor.type == dtype::f32 || tensor.type == dtype::f16 || tensor.type == dtype::bf16;
    if (!is_float || tensor.shape.size() != 2) return std::nullopt;
    return {{tensor.shape[transposed_ ? 1 : 0], tensor.shape[transposed_ ? 0 : 1]}};
  }

  template <class Scalar, class Function>
  decltype(auto) visit_dense(const tensor_view& tensor, Function& f) const {
    std::vector<Scalar> copied;  // of what an old file has unaligned
    const bool aligned = tensor.is_aligned<Scalar>();
    if (!aligned) copied = tensor.copy<Scalar>();
    const auto [d_out, d_in] = *size_of(tensor);
    return f(weight_view<const Scalar>(aligned ? tensor.values<Scalar>().data() : copied.data(), d_out, d_in, 0,
                                       transposed_ ? storage::in_by_out : storage::out_by_in));
  }

  [[noreturn]] void refuse(const std::string& name, const tensor_view* tensor) const {
    const std::string codes = detail::quantised_as(*model_, name);
    std::string what = "no tensor '" + name + "'";
    if (!codes.empty()) {
      what = "'" + name + "' is there as " + codes + ", which sbora doesn't read; give the model that was quantised";
    } else if (tensor != nullptr) {
      what = "tensor '" + name + "' is " + to_string(tensor->type) + " " + detail::shape_text(tensor->shape) +
             ", expected F32, F16 or BF16 of two dimensions";
    }
    throw checkpoint_error("the base model's weights", {what});
  }

  const checkpoint* model_;
  bitsandbytes_weights codes_;
  fp8_weights fp8_;
  bool transposed_;
};

}  // namespace sbora::inline SBORA_ABI
