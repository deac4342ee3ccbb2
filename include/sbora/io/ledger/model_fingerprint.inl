#pragma once

#include <sbora/core/fnv1a.hpp>
#include <sbora/io/adapter/adapter_config_json.hpp>
#include <sbora/io/ledger/model_fingerprint.hpp>
#include <sbora/io/merge/tensor_merge.hpp>

namespace sbora::inline SBORA_ABI::detail {

inline std::uint64_t hash_of_bytes(const safetensors_file& file, const tensor_view& tensor) {
  std::uint64_t hash = fnv1a({});
  for (std::span<const std::byte> left = tensor.data; !left.empty();) {
    const auto part = left.first(std::min(left.size(), window_bytes));
    hash = fnv1a({reinterpret_cast<const char*>(part.data()), part.size()}, hash);
    file.release(part);
    left = left.subspan(part.size());
  }
  return hash;
}

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

SBORA_INSTANCE_OF std::uint64_t model_fingerprint(const checkpoint& model) {
  std::map<std::string_view, std::pair<const tensor_view*, const safetensors_file*>> tensors;
  std::size_t at = 0;  // both lists are in the order of the files
  for (const safetensors_file& file : model.files()) {
    for (std::size_t i = 0; i < file.tensors().size(); ++i, ++at) {
      tensors[model.tensors()[at].name] = {&model.tensors()[at], &file};
    }
  }
  std::uint64_t hash = detail::fnv1a({});
  for (const auto& [name, of] : tensors) {
    const auto [tensor, file] = of;
    std::string text = std::string(name) + '\0' + to_string(tensor->type) + detail::shape_text(tensor->shape) + '\0';
    text += detail::hex_text(detail::hash_of_bytes(*file, *tensor));
    hash = detail::fnv1a(text, hash);
  }
  return hash;
}

}  // namespace sbora::inline SBORA_ABI
