#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include <sbora/io.hpp>
#include <sbora/io/gguf/gguf_names.hpp>

#include "options.hpp"
#include "common/error.hpp"

namespace sbora_tool {

using sbora::index_t;

/// Whether a path is an adapter's folder, or has adapters below it.
inline bool is_adapter(const fs::path& path) {
  std::error_code ignored;
  if (!fs::is_directory(path, ignored)) return false;
  for (const char* name : {"model.safetensors", "model.safetensors.index.json"}) {
    if (fs::exists(path / name, ignored)) return fs::exists(path / "adapter_config.json", ignored);
  }
  return true;
}

/// The model that an adapter is for: a checkpoint, or a GGUF file.
class base_model {
 public:
  /// An empty path: none.
  explicit base_model(const fs::path& path);

  explicit operator bool() const { return checkpoint_ || gguf_; }
  /// Errors: input_error where it is a GGUF file.
  const sbora::checkpoint& checkpoint() const;
  /// Null where it isn't one.
  const sbora::gguf_file* gguf() const { return gguf_ ? &*gguf_ : nullptr; }

  /// All linear layers, whatever their weights are stored as, as Hugging Face names them.
  std::vector<sbora::model_module> modules(bool fan_in_fan_out) const;

  /// Whether config.json beside it says that the head is the embedding.
  bool is_tied() const;

  /// Of the region that an adapter touches, at every module that `wanted` says.
  template <class Wanted>
  std::map<std::string, std::uint64_t> fingerprints(const sbora::model_adapter<float>& adapter, Wanted&& wanted) const {
    const sbora::checkpoint_weights weights(checkpoint(), adapter.config().fan_in_fan_out);
    std::map<std::string, std::uint64_t> found;
    for (const std::string& module : adapter.modules()) {
      if (wanted(module)) found[module] = sbora::base_fingerprint(weights.pieces(module), adapter, module);
    }
    return found;
  }

 private:
  std::optional<sbora::checkpoint> checkpoint_;
  std::optional<sbora::gguf_file> gguf_;
};

/// An adapter of any layout. Of a PEFT LoRA, which says its sizes, and of sbora's own, without a base too.
inline sbora::loaded_adapter<float> load(const fs::path& path, const base_model& base,
                                         sbora::strictness mode = sbora::strictness::strict) {
  const sbora::read_config config = sbora::load_adapter_config(path, mode);
  const auto modules = base.modules(config.config.fan_in_fan_out);
  return sbora::load_adapter(path, modules, mode);
}

/// 28,049,408
inline std::string grouped(index_t number) {
  std::string text = std::to_string(number);
  for (std::size_t at = text.size(); at > 3; at -= 3) text.insert(at - 3, 1, ',');
  return text;
}

inline std::string shape_text(const std::vector<index_t>& shape) {
  std::string text = "[";
  for (const index_t size : shape) text += (text.size() == 1 ? "" : ", ") + std::to_string(size);
  return text + "]";
}

/// The first few indices, or all.
inline std::string index_text(std::span<const index_t> indices, bool all) {
  constexpr std::size_t few = 8;
  std::string text;
  for (std::size_t i = 0; i < indices.size(); ++i) {
    if (i == few && !all) return text + " … (" + std::to_string(indices.size()) + ")";
    text += (i == 0 ? "" : " ") + std::to_string(indices[i]);
  }
  return text;
}

}  // namespace sbora_tool
