#pragma once

#include <optional>
#include <string>
#include <vector>

#include <sbora/io.hpp>

#include "options.hpp"
#include "usage_error.hpp"

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

/// The checkpoint that an adapter is for.
class base_model {
 public:
  /// An empty path: none.
  explicit base_model(const fs::path& path) {
    if (!path.empty()) checkpoint_.emplace(sbora::checkpoint::open(path));
  }

  explicit operator bool() const { return checkpoint_.has_value(); }
  const sbora::checkpoint& checkpoint() const { return *checkpoint_; }

  /// All two-dimensional weights of floats, as linear layers.
  std::vector<sbora::model_module> modules(bool fan_in_fan_out) const {
    constexpr std::string_view ending = ".weight";
    std::vector<sbora::model_module> found;
    if (!checkpoint_) return found;
    for (const sbora::tensor_view& tensor : checkpoint_->tensors()) {
      const bool is_float = tensor.type == sbora::dtype::f32 || tensor.type == sbora::dtype::f16 ||
                            tensor.type == sbora::dtype::bf16;
      if (!is_float || tensor.shape.size() != 2 || !tensor.name.ends_with(ending)) continue;
      found.push_back({tensor.name.substr(0, tensor.name.size() - ending.size()),
                       tensor.shape[fan_in_fan_out ? 1 : 0], tensor.shape[fan_in_fan_out ? 0 : 1]});
    }
    return found;
  }

  /// Of the region that an adapter touches at a module.
  std::uint64_t fingerprint(const sbora::model_adapter<float>& adapter, const std::string& module) const {
    const sbora::tensor_view& tensor = checkpoint_->at(module + ".weight");
    switch (tensor.type) {
      case sbora::dtype::f32: return fingerprint_as<float>(tensor, adapter, module);
      case sbora::dtype::f16: return fingerprint_as<Eigen::half>(tensor, adapter, module);
      case sbora::dtype::bf16: return fingerprint_as<Eigen::bfloat16>(tensor, adapter, module);
      default:
        throw usage_error("tensor '" + tensor.name + "' is " + to_string(tensor.type) + ", expected F32, F16 or BF16");
    }
  }

 private:
  template <class Scalar>
  static std::uint64_t fingerprint_as(const sbora::tensor_view& tensor, const sbora::model_adapter<float>& adapter,
                                      const std::string& module) {
    const bool transposed = adapter.config().fan_in_fan_out;
    std::vector<Scalar> copied;  // of what an old file has unaligned
    const bool aligned = tensor.is_aligned<Scalar>();
    if (!aligned) copied = tensor.copy<Scalar>();
    const sbora::weight_view<const Scalar> weight(
        aligned ? tensor.values<Scalar>().data() : copied.data(), tensor.shape[transposed ? 1 : 0],
        tensor.shape[transposed ? 0 : 1], 0, transposed ? sbora::storage::in_by_out : sbora::storage::out_by_in);
    return sbora::base_fingerprint(weight, adapter, module);
  }

  std::optional<sbora::checkpoint> checkpoint_;
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
