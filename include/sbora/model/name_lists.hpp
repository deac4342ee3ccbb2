#pragma once

#include <algorithm>
#include <charconv>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <sbora/core/message.hpp>
#include <sbora/core/index.hpp>

namespace sbora::inline SBORA_ABI::detail {

inline bool is_name_or_suffix(std::string_view name, std::string_view key) {
  return name == key || (name.size() > key.size() && name.ends_with(key) && name[name.size() - key.size() - 1] == '.');
}

/// The module that a tensor belongs to, as its name has it: what stands before the last dot.
inline std::string_view module_of(std::string_view tensor) {
  return tensor.substr(0, std::min(tensor.rfind('.'), tensor.size()));
}

/// The module whose weight a tensor is; empty where it is none's.
inline std::string_view module_of_weight(std::string_view tensor) {
  return tensor.ends_with(".weight") ? module_of(tensor) : std::string_view();
}

/// The name of one of a stack of equal weights: model.layers.0.mlp.experts.down_proj[3].
inline std::string stack_member(std::string_view stack, index_t member) { return message({stack, "[", member, "]"}); }
/// The stack and the number of such a name; nothing for other names.
inline std::optional<std::pair<std::string_view, index_t>> parse_stack_member(std::string_view name) {
  const std::size_t open = name.rfind('[');
  if (!name.ends_with(']') || open == std::string_view::npos || open == 0) return std::nullopt;
  index_t number = 0;
  const auto [end, status] = std::from_chars(name.data() + open + 1, name.data() + name.size() - 1, number);
  if (status != std::errc() || end != name.data() + name.size() - 1 || number < 0) return std::nullopt;
  return std::pair(name.substr(0, open), number);
}

/// Whether a text ends with one of many others, in the time of a binary search: files can name many.
class text_endings {
 public:
  explicit text_endings(std::vector<std::string> endings) : backwards_(std::move(endings)) {
    for (std::string& ending : backwards_) std::reverse(ending.begin(), ending.end());
    std::sort(backwards_.begin(), backwards_.end());
    // Of those that begin alike the shortest is enough; then only the last one before a text can begin it.
    std::size_t kept = 0;
    for (std::size_t i = 0; i < backwards_.size(); ++i) {
      if (kept > 0 && backwards_[i].starts_with(backwards_[kept - 1])) continue;
      if (kept != i) backwards_[kept] = std::move(backwards_[i]);
      ++kept;
    }
    backwards_.resize(kept);
  }

  bool of(std::string_view text) const {
    const std::string reversed(text.rbegin(), text.rend());
    const auto after = std::upper_bound(backwards_.begin(), backwards_.end(), reversed);
    return after != backwards_.begin() && std::string_view(reversed).starts_with(*std::prev(after));
  }

 private:
  std::vector<std::string> backwards_;
};

/// Whether a name is one of many, or ends with one after a dot: is_name_or_suffix of any of them.
class name_suffixes {
 public:
  explicit name_suffixes(const std::vector<std::string>& names) : endings_(dotted(names)) {}
  bool of(std::string_view name) const { return endings_.of(message({".", name})); }

 private:
  static std::vector<std::string> dotted(const std::vector<std::string>& names) {
    std::vector<std::string> all;
    for (const std::string& name : names) all.push_back("." + name);
    return all;
  }

  text_endings endings_;
};

/// Whether a module is an embedding, by the names that models give it or by one of these ends of names.
inline bool is_embedding_name(std::string_view module, const std::vector<std::string>& others = {}) {
  constexpr std::string_view usual[] = {"embed_tokens", "wte", "word_embeddings", "embed_in", "tok_embeddings"};
  const auto ends = [&](std::string_view name) { return is_name_or_suffix(module, name); };
  return std::any_of(std::begin(usual), std::end(usual), ends) || std::any_of(others.begin(), others.end(), ends);
}

/// f(ending) for a name and for what follows each of its dots.
template <class Function>
void for_name_suffixes(std::string_view name, Function&& f) {
  for (std::size_t begin = 0;;) {
    f(name.substr(begin));
    begin = name.find('.', begin);
    if (begin == name.npos) return;
    ++begin;
  }
}

}  // namespace sbora::inline SBORA_ABI::detail
