#pragma once

#include <sbora/io/bitsandbytes/bitsandbytes.hpp>
#include <sbora/io/checkpoint/checkpoint.hpp>
#include <sbora/io/checkpoint/expert_stacks.hpp>
#include <sbora/io/checkpoint/fp8_weights.hpp>
#include <sbora/model/model_adapter.hpp>
#include <sbora/weights/any_weight.hpp>

namespace sbora::inline SBORA_ABI {

/// The linear layers' weights of a checkpoint by their modules' names, whatever they are stored as: floats, fp8
/// with scales, or bitsandbytes' codes, whose tensors have other shapes and types than the weights.
///
/// Effect      a module is what has a tensor "MODULE.weight" of two dimensions and of F32, F16 or BF16, or of codes
///             or fp8 that have scales. With fan_in_fan_out, floats lie d_in × d_out (Conv1D); codes never do. Besides,
///             each of a stack of experts: expert_stacks, and codes of three dimensions; as NAME[0], NAME[1] …
/// Lifetime    the checkpoint has to outlive this.
/// Cost        one pass over the names.
/// Thread      immutable.
/// Errors      checkpoint_error where states of quantised weights are broken, and, of weight() and visit(), where the
///             checkpoint has no such module: with what it has in its place.
class checkpoint_weights {
 public:
  explicit checkpoint_weights(const checkpoint& model, bool fan_in_fan_out = false)
      : model_(&model),
        codes_(model.tensors()),
        fp8_(model.tensors()),
        transposed_(fan_in_fan_out),
        stacks_(expert_stacks(model, fan_in_fan_out ? storage::in_by_out : storage::out_by_in)) {}
  explicit checkpoint_weights(const checkpoint&&, bool = false) = delete;  // would dangle: name the checkpoint

  /// All of them, shard after shard, in the order of their bytes. Errors: checkpoint_error where all weights but
  /// embeddings are codes that sbora can't read.
  SBORA_IN_IO_INSTANCES std::vector<model_module> modules() const;
  /// One of them; nothing where there is none of that name.
  SBORA_IN_IO_INSTANCES std::optional<model_module> find(std::string_view module) const;
  /// Whether a tensor is the scales or another part of a quantised weight, and not its codes.
  SBORA_IN_IO_INSTANCES bool is_part_of_weight(std::string_view tensor) const;

  /// A module's weight, in place; floats that an old file has unaligned are copied, and owned by what is returned. Not
  /// an expert's gate_up_proj whose gate and up have a tensor each: take those modules', or pieces().
  SBORA_IN_IO_INSTANCES any_weight weight(std::string_view module) const;
  /// The weights that a module's rows are in, from top to bottom: its own, or gate and up of such an expert.
  SBORA_IN_IO_INSTANCES std::vector<any_weight> pieces(std::string_view module) const;

  /// f(view) of it: a weight_view of `const` float, Eigen::half or Eigen::bfloat16, a four_bit_view, an int8_view or an
  /// fp8_view.
  template <class Function>
  decltype(auto) visit(std::string_view module, Function&& f) const {
    return weight(module).visit(std::forward<Function>(f));
  }

 private:
  static constexpr std::string_view ending = ".weight";

  SBORA_IN_IO_INSTANCES std::optional<std::pair<index_t, index_t>> size_of(const tensor_view& tensor) const;

  /// In a tensor, whatever it is called.
  SBORA_IN_IO_INSTANCES any_weight weight_in(const tensor_view& tensor, index_t d_out, index_t d_in,
                                             storage order) const;
  SBORA_IN_IO_INSTANCES any_weight weight_of_expert(std::string_view stack, index_t expert) const;
  /// The tensors that an expert's rows are in where each has tensors of its own; else none.
  SBORA_IN_IO_INSTANCES std::span<const std::string> tensors_of_expert(std::string_view stack, index_t expert) const;

  [[noreturn]] SBORA_IN_IO_INSTANCES void refuse(const std::string& name, const tensor_view* tensor) const;

  const checkpoint* model_;
  bitsandbytes_weights codes_;
  fp8_weights fp8_;
  bool transposed_;
  std::vector<expert_stack> stacks_;
};

}  // namespace sbora::inline SBORA_ABI
