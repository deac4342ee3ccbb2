#pragma once

#include <deque>

#include <sbora/io/adapter/gguf_lora.hpp>
#include <sbora/io/adapter/peft_lora_tensors.hpp>
#include <sbora/io/gguf/gguf_writer.hpp>
#include <sbora/model/problem_list.hpp>
#include <sbora/model/row_order.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// "blk.0.attn_q.weight.lora_a" of peft_lora_tensors' names.
inline std::string gguf_lora_name(std::string_view tensor, const gguf_names& names) {
  constexpr std::string_view ending = ".lora_A.weight";
  tensor.remove_prefix(peft_prefix.size());
  const bool is_a = tensor.ends_with(ending);
  const std::string module(tensor.substr(0, tensor.size() - ending.size()));
  return *names.in_file(module + ".weight") + (is_a ? ".lora_a" : ".lora_b");
}

/// Errors: checkpoint_error with all of it.
inline void require_gguf_lora(const model_adapter<float>& adapter, const gguf_names& names) {
  problem_list problems;
  for (const std::string& module : adapter.modules()) {
    const std::string who = "module '" + module + "' ";
    if (parse_stack_member(module)) problems.add(who + "is an expert's");
    else if (is_embedding_name(module, adapter.config().embedding_modules)) problems.add(who + "is an embedding");
    else if (!names.in_file(module + ".weight")) problems.add(who + "is none of a model of " + names.architecture());
  }
  for (const full_tensor<float>& tensor : adapter.full_tensors()) {
    problems.add("tensor '" + tensor.name() + "' is replaced as a whole");
  }
  for (const table_tokens<float>& of : adapter.tokens()) problems.add("tokens of '" + of.module + "' are replaced");
  problems.throw_if_any("an adapter for llama.cpp", "merge it into the model");
}

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

SBORA_INSTANCE_OF void save_gguf_lora(const model_adapter<float>& adapter, const gguf_names& names,
                                      const std::filesystem::path& path) {
  detail::require_gguf_lora(adapter, names);
  model_adapter<float> moved = with_rows_at(
      adapter, [&](const std::string& module, index_t d_out) { return names.rows_in_file(module, d_out); });
  moved.set_multiplier(1);  // a run-time choice
  std::optional<float> alpha;
  moved.for_each([&](const std::string&, auto& part) {
    const float own = part.delta().scale * static_cast<float>(part.rank());
    if (!alpha) alpha = own;
    if (own == *alpha) return;
    for (float& number : part.parameters()) number *= own / *alpha;
  });
  const detail::peft_lora_tensors<float> tensors(moved);
  std::deque<std::string> kept;
  std::vector<gguf_tensor> described;
  for (const tensor_view& tensor : tensors.tensors()) {
    kept.push_back(detail::gguf_lora_name(tensor.name, names));
    described.push_back({kept.back(), ggml_type::f32, tensor.shape, {}});
  }
  gguf_metadata metadata;
  metadata.add("general.architecture", names.architecture())
      .add("general.type", "adapter")
      .add("general.quantization_version", std::uint32_t{2})
      .add("adapter.type", "lora")
      .add("adapter.lora.alpha", *alpha);
  gguf_stream_writer file(path, metadata, described);
  for (std::size_t i = 0; i < described.size(); ++i) {
    tensors.write(tensors.tensors()[i].name, [&](std::span<const std::byte> piece) { file.write(kept[i], piece); });
  }
  file.commit();
}

}  // namespace sbora::inline SBORA_ABI
