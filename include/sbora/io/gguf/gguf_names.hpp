#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <sbora/io/gguf/gguf_file.hpp>

namespace sbora::inline SBORA_ABI {

/// What llama.cpp's converter makes of a Hugging Face model: other names, and for some architectures another order of
/// the rows of q and k.
///
/// Effect      of the architectures llama (LLaMA, Mistral), granite, smollm3, qwen2, qwen3 and phi3, without experts.
///             In the first three a head's two halves alternate, row by row, so that what is rotated together is
///             adjacent. Weights stay as they lie; with_rows_at brings an adapter from one order into the other.
/// Thread      a value.
/// Errors      checkpoint_error: an architecture that isn't one of these, or metadata that doesn't say the heads.
/// Source      llama.cpp's conversion/llama.py (permute) and gguf-py's tensor_mapping.py.
class gguf_names {
 public:
  /// Of a model's file.
  SBORA_IN_IO_INSTANCES static gguf_names of(const gguf_file& model);

  const std::string& architecture() const& noexcept { return architecture_; }
  std::string architecture() && noexcept { return std::move(architecture_); }
  /// Whether heads' halves alternate.
  bool alternates() const noexcept { return alternates_; }

  /// "model.layers.0.self_attn.q_proj.weight" of "blk.0.attn_q.weight". Nothing where there is none.
  SBORA_IN_IO_INSTANCES std::optional<std::string> hugging_face(std::string_view tensor) const;
  /// The other way round.
  SBORA_IN_IO_INSTANCES std::optional<std::string> in_file(std::string_view tensor) const;

  /// Of a module as Hugging Face names it, by its rows there: the row of the file that each of them is. Empty where
  /// they are the same. Errors: checkpoint_error where the rows aren't the heads'.
  SBORA_IN_IO_INSTANCES std::vector<index_t> rows_in_file(std::string_view module, index_t d_out) const;
  /// The other way round: by the file's rows.
  SBORA_IN_IO_INSTANCES std::vector<index_t> rows_in_hugging_face(std::string_view module, index_t d_out) const;

 private:
  gguf_names() = default;

  std::string architecture_;
  bool alternates_ = false, fused_ = false;
  index_t heads_ = 0, key_value_heads_ = 0;
};

}  // namespace sbora::inline SBORA_ABI
