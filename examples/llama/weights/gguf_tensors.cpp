#include "weights/gguf_tensors.hpp"

#include <sbora/io/gguf/gguf_weight.hpp>

namespace llama {
namespace {

std::optional<sbora::dtype> dense_type(sbora::ggml_type type) {
  switch (type) {
    case sbora::ggml_type::f32: return sbora::dtype::f32;
    case sbora::ggml_type::f16: return sbora::dtype::f16;
    case sbora::ggml_type::bf16: return sbora::dtype::bf16;
    default: return std::nullopt;
  }
}

}  // namespace

gguf_tensors::gguf_tensors(const std::filesystem::path& path)
    : file_(sbora::gguf_file::open(path)), names_(sbora::gguf_names::of(file_)) {
  for (const sbora::gguf_tensor& tensor : file_.tensors()) {
    const std::string name = names_.hugging_face(tensor.name).value_or(std::string(tensor.name));
    if (name == "rope_freqs.weight") continue;
    const auto type = dense_type(tensor.type);
    std::vector<index_t> shape = tensor.shape;
    if (!type && !shape.empty()) {
      const auto& layout = sbora::detail::layout_of(tensor.type);
      shape.back() = shape.back() / layout.elements * layout.bytes;
    }
    views_[name] = {name, type.value_or(sbora::dtype::u8), std::move(shape), tensor.data};
  }
}

const sbora::tensor_view* gguf_tensors::find(const std::string& name) const {
  const auto found = views_.find(name);
  return found == views_.end() ? nullptr : &found->second;
}

const sbora::gguf_tensor* gguf_tensors::stored(std::string_view module) const {
  const auto name = names_.in_file(std::string(module) + ".weight");
  return name ? file_.find(*name) : nullptr;
}

std::optional<sbora::model_module> gguf_tensors::find_module(std::string_view module) const {
  const sbora::gguf_tensor* const tensor = stored(module);
  if (!tensor || tensor->shape.size() != 2) return std::nullopt;
  return sbora::model_module{std::string(module), tensor->shape[0], tensor->shape[1]};
}

sbora::any_weight gguf_tensors::weight(std::string_view module) const { return sbora::gguf_weight(*stored(module)); }

std::vector<std::string> gguf_tensors::names() const {
  std::vector<std::string> names;
  for (const auto& [name, view] : views_) names.push_back(name);
  return names;
}

}  // namespace llama
