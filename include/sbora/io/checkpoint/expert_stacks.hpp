#pragma once

#include <string>
#include <vector>

#include <sbora/core/compiled_once.hpp>
#include <sbora/io/checkpoint/checkpoint.hpp>
#include <sbora/weights/weight_view.hpp>

namespace sbora::inline SBORA_ABI {

/// The equal weights of a model's experts, by the name of the parameter that transformers' models and PEFT's
/// target_parameters have for them: `model.layers.0.mlp.experts.gate_up_proj`. Expert e is the module NAME[e].
struct expert_stack {
  std::string name;
  index_t experts, d_out, d_in;
  storage order;                     ///< of each expert's weight in the tensors
  index_t pieces;                    ///< tensors that an expert's rows are in, from top to bottom; 0: all are in one
  std::vector<std::string> tensors;  ///< each expert's, expert after expert; or the one of three dimensions
};

/// Those of a checkpoint, whose names are those of tensors of three dimensions below a module `experts`; or whose
/// experts have tensors of their own, as transformers 5 saves what it computes with as stacks.
///
/// Effect      `….experts.N.gate_proj.weight`, `up_proj` and `down_proj`, or `….block_sparse_moe.experts.N.w1.weight`,
///             `w3` and `w2` are the stacks gate_up_proj, gate's rows first, and down_proj of `….mlp.experts`. Of tensors
///             of three dimensions, whether they are experts × d_out × d_in or experts × d_in × d_out is told by
///             gate_up_proj and down_proj beside each other; otherwise `alone` says it.
///             Codes are left alone, which checkpoint_weights knows.
/// Cost        one pass over the names.
SBORA_IN_IO_INSTANCES std::vector<expert_stack> expert_stacks(const checkpoint& model,
                                                              storage alone = storage::out_by_in);

}  // namespace sbora::inline SBORA_ABI
