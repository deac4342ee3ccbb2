#include "training/fingerprint.hpp"

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include <sbora/io/checkpoint/checkpoint.hpp>

#include "training/hash.hpp"
#include "common/gguf_fields.hpp"
#include "common/json_file.hpp"

namespace llama {

namespace {

template <class Number>
void add_with_length(content_hash& hash, const std::vector<Number>& numbers) {
  const std::span<const std::byte> bytes = std::as_bytes(std::span(numbers));
  hash.add(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

/// Bytes of a mapped file, which would otherwise all count as this process's memory.
template <class File>
void add_and_release(content_hash& hash, const File& file, std::span<const std::byte> bytes) {
  constexpr std::size_t piece = std::size_t{64} << 20;
  for (std::size_t at = 0; at < bytes.size(); at += piece) {
    const auto part = bytes.subspan(at, std::min(piece, bytes.size() - at));
    hash.add(part);
    file.release(part);
  }
}

}  // namespace

std::string fingerprint_of(const std::filesystem::path& base_model) {
  content_hash hash;
  if (is_gguf(base_model)) {
    const auto file = sbora::gguf_file::open(base_model);
    add_and_release(hash, file, file.bytes());
    return hash.text();
  }
  hash.add(read_file(base_model / "config.json"));
  const auto weights = sbora::checkpoint::open(base_model);
  std::vector<std::pair<const sbora::safetensors_file*, const sbora::tensor_view*>> tensors;
  for (const sbora::safetensors_file& file : weights.files()) {
    for (const sbora::tensor_view& tensor : file.tensors()) tensors.emplace_back(&file, &tensor);
  }
  std::ranges::sort(tensors, {}, [](const auto& entry) -> const std::string& { return entry.second->name; });
  for (const auto& [file, tensor] : tensors) {
    hash.add(tensor->name).add(sbora::to_string(tensor->type));
    for (const index_t size : tensor->shape) hash.add(std::to_string(size));
    add_and_release(hash, *file, tensor->data);
  }
  return hash.text();
}

std::string fingerprint_of(const dataset& data) {
  content_hash hash;
  for (const example& one : data.examples) {
    add_with_length(hash, one.tokens);
    add_with_length(hash, one.labels);
  }
  return hash.text();
}

}  // namespace llama
