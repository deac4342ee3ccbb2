#pragma once

#include <algorithm>

#include <sbora/io/gguf/gguf_names.hpp>
#include <sbora/io/limits.hpp>
#include <sbora/model/checkpoint_error.hpp>

namespace sbora::inline SBORA_ABI::detail {

struct gguf_architecture {
  const char* name;
  bool alternates;
  bool fused;
};
inline constexpr gguf_architecture gguf_architectures[] = {{"llama", true, false},   {"granite", true, false},
                                                           {"smollm3", true, false}, {"qwen2", false, false},
                                                           {"qwen3", false, false},  {"phi3", false, true}};

/// A name's part in the file, and Hugging Face's.
struct gguf_name {
  std::string_view in_file, hugging_face;
};
inline constexpr gguf_name gguf_model_names[] = {
    {"token_embd", "model.embed_tokens"}, {"output_norm", "model.norm"}, {"output", "lm_head"}};
inline constexpr gguf_name gguf_layer_names[] = {
    {"attn_norm", "input_layernorm"},    {"attn_q", "self_attn.q_proj"},
    {"attn_k", "self_attn.k_proj"},      {"attn_v", "self_attn.v_proj"},
    {"attn_q_norm", "self_attn.q_norm"}, {"attn_k_norm", "self_attn.k_norm"},
    {"attn_output", "self_attn.o_proj"}, {"ffn_norm", "post_attention_layernorm"},
    {"ffn_gate", "mlp.gate_proj"},       {"ffn_up", "mlp.up_proj"},
    {"ffn_down", "mlp.down_proj"}};
/// Before the others, where linear layers of one input are one.
inline constexpr gguf_name gguf_fused_names[] = {{"attn_qkv", "self_attn.qkv_proj"}, {"ffn_up", "mlp.gate_up_proj"}};

inline constexpr std::string_view gguf_layer = "blk.", hugging_face_layer = "model.layers.";

/// `name` with the prefix, the part and the ending (".weight") of the other side; `from` and `to` say the sides.
inline std::optional<std::string> renamed_gguf(std::string_view name, bool fused, std::string_view gguf_name::*from,
                                               std::string_view gguf_name::*to, std::string_view layer_from,
                                               std::string_view layer_to) {
  const std::size_t dot = name.rfind('.');
  if (dot == name.npos) return std::nullopt;
  const std::string ending(name.substr(dot));
  if (ending != ".weight" && ending != ".bias") return std::nullopt;
  std::string_view part = name.substr(0, dot);
  const auto found = [&](std::span<const gguf_name> in) -> const gguf_name* {
    const auto at = std::ranges::find(in, part, from);
    return at == in.end() ? nullptr : &*at;
  };
  if (!part.starts_with(layer_from)) {
    const gguf_name* const of = found(gguf_model_names);
    return of == nullptr ? std::nullopt : std::optional(std::string(of->*to) + ending);
  }
  part.remove_prefix(layer_from.size());
  const std::size_t end = std::min(part.find('.'), part.size());
  const std::string_view number = part.substr(0, end);
  if (end == 0 || end == part.size() || number.find_first_not_of("0123456789") != number.npos) return std::nullopt;
  part.remove_prefix(end + 1);
  const gguf_name* of = fused ? found(gguf_fused_names) : nullptr;
  if (of == nullptr) of = found(gguf_layer_names);
  if (of == nullptr) return std::nullopt;
  return std::string(layer_to) + std::string(number) + "." + std::string(of->*to) + ending;
}

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

SBORA_INSTANCE_OF gguf_names gguf_names::of(const gguf_file& model) {
  const auto refuse = [&](const std::string& what) {
    throw checkpoint_error("the model " + model.path().string(), {what});
  };
  gguf_names names;
  names.architecture_ = model.value("general.architecture").string().value_or("");
  std::string known;
  const detail::gguf_architecture* of = nullptr;
  for (const detail::gguf_architecture& each : detail::gguf_architectures) {
    known += (known.empty() ? "" : ", ") + std::string(each.name);
    if (names.architecture_ == each.name) of = &each;
  }
  if (of == nullptr) {
    refuse("general.architecture is '" + detail::shortened(names.architecture_) + "', expected one of " + known);
  }
  names.alternates_ = of->alternates;
  names.fused_ = of->fused;
  const auto heads_of = [&](const char* key, std::optional<index_t> otherwise) {
    const std::string whole = names.architecture_ + ".attention." + key;
    const gguf_value value = model.value(whole);
    const std::optional<index_t> heads = value ? value.number<index_t>() : otherwise;
    if (!heads || *heads < 1) refuse(whole + " is not one number of heads");
    return *heads;
  };
  names.heads_ = heads_of("head_count", std::nullopt);
  names.key_value_heads_ = heads_of("head_count_kv", names.heads_);
  return names;
}

SBORA_INSTANCE_OF std::optional<std::string> gguf_names::hugging_face(std::string_view tensor) const {
  using detail::gguf_name;
  return detail::renamed_gguf(tensor, fused_, &gguf_name::in_file, &gguf_name::hugging_face, detail::gguf_layer,
                              detail::hugging_face_layer);
}

SBORA_INSTANCE_OF std::optional<std::string> gguf_names::in_file(std::string_view tensor) const {
  using detail::gguf_name;
  return detail::renamed_gguf(tensor, fused_, &gguf_name::hugging_face, &gguf_name::in_file, detail::hugging_face_layer,
                              detail::gguf_layer);
}

SBORA_INSTANCE_OF std::vector<index_t> gguf_names::rows_in_file(std::string_view module, index_t d_out) const {
  const bool is_query = module.ends_with(".self_attn.q_proj");
  if (!alternates_ || !(is_query || module.ends_with(".self_attn.k_proj"))) return {};
  const index_t heads = is_query ? heads_ : key_value_heads_;
  if (heads > d_out / 2 || d_out % (2 * heads) != 0) {
    throw checkpoint_error("the rows of '" + std::string(module) + "'",
                           {std::to_string(d_out) + " rows, the model has " + std::to_string(heads) + " heads"});
  }
  const index_t head = d_out / heads, half = head / 2;
  std::vector<index_t> rows(static_cast<std::size_t>(d_out));
  for (index_t row = 0; row < d_out; ++row) {
    const index_t in_head = row % head, alternating = 2 * (in_head % half) + in_head / half;
    rows[static_cast<std::size_t>(row)] = row - in_head + alternating;
  }
  return rows;
}

SBORA_INSTANCE_OF std::vector<index_t> gguf_names::rows_in_hugging_face(std::string_view module, index_t d_out) const {
  const std::vector<index_t> there = rows_in_file(module, d_out);
  std::vector<index_t> back(there.size());
  for (std::size_t row = 0; row < there.size(); ++row) {
    back[static_cast<std::size_t>(there[row])] = static_cast<index_t>(row);
  }
  return back;
}

}  // namespace sbora::inline SBORA_ABI
