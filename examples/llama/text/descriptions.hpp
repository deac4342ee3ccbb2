#pragma once

#include <utility>

#include <nlohmann/json.hpp>

/// Parts of a tokenizer in the words of tokenizer.json, for files that don't describe theirs.
namespace llama {

/// SentencePiece's blank, U+2581.
inline constexpr const char* visible_blank = "\u2581";

/// `name` is what the list is called: normalizers, pretokenizers or decoders.
inline nlohmann::json sequence(const char* name, nlohmann::json list) {
  return {{"type", "Sequence"}, {name, std::move(list)}};
}

inline nlohmann::json replace(const char* from, const char* to) {
  return {{"type", "Replace"}, {"pattern", {{"String", from}}}, {"content", to}};
}

/// A blank before a text: "first", "always" (after added tokens too) or "never".
inline nlohmann::json metaspace(const char* scheme) {
  return {{"type", "Metaspace"}, {"replacement", visible_blank}, {"prepend_scheme", scheme}, {"split", false}};
}

/// The same by a normaliser, as transformers 4 has it.
inline nlohmann::json prepended_blank() {
  const nlohmann::json prepend = {{"type", "Prepend"}, {"prepend", visible_blank}};
  return sequence("normalizers", nlohmann::json::array({prepend, replace(" ", visible_blank)}));
}

/// How tokens of SentencePiece become text; `without_prefix`: without the blank before it.
inline nlohmann::json sentencepiece_decoder(bool without_prefix) {
  using nlohmann::json;
  json parts = json::array({replace(visible_blank, " "), {{"type", "ByteFallback"}}, {{"type", "Fuse"}}});
  if (without_prefix) parts.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  return sequence("decoders", std::move(parts));
}

}  // namespace llama
