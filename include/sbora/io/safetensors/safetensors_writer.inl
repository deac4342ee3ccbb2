#pragma once

#include <algorithm>

#include <sbora/io/safetensors/safetensors_header.hpp>
#include <sbora/io/safetensors/safetensors_writer.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// A file before its tensors' bytes: what is written first, and in which order the tensors follow.
struct file_layout {
  std::string header;  ///< length and JSON
  std::vector<const tensor_view*> order;
  std::vector<std::uint64_t> sizes;  ///< in that order
  std::uint64_t data = 0;            ///< their sum
};

/// Bytes of a tensor by its shape and dtype.
inline std::uint64_t size_of(const tensor_view& tensor, const std::filesystem::path& path) {
  const auto refuse = [&](format_fault kind, const std::string& what) {
    throw format_error(kind, path, "tensor '" + tensor.name + "' of shape " + shape_text(tensor.shape) + ": " + what);
  };
  if (std::any_of(tensor.shape.begin(), tensor.shape.end(), [](index_t size) { return size < 0; })) {
    refuse(format_fault::tensor_invalid_info, "a dimension is negative");
  }
  const std::optional<std::uint64_t> fits = bits_of_shape(tensor.shape, tensor.type);
  if (!fits) refuse(format_fault::validation_overflow, "too large");
  const std::uint64_t bits = *fits;
  if (bits % 8 != 0) {
    refuse(format_fault::misaligned_slice, std::to_string(bits) + " bits, expected whole bytes");
  }
  return bits / 8;
}

inline std::string json_string(const std::string& text, const std::filesystem::path& path) {
  if (first_non_utf8(text) != text.npos) {
    throw format_error(format_fault::invalid_header, path, "a name or a metadata text is not UTF-8");
  }
  return ordered_json(text).dump();
}

inline file_layout lay_out(std::span<const tensor_view> tensors, const std::map<std::string, std::string>& metadata,
                           const std::filesystem::path& path, tensor_order order = tensor_order::by_name) {
  file_layout layout;
  for (const tensor_view& tensor : tensors) layout.order.push_back(&tensor);
  std::stable_sort(layout.order.begin(), layout.order.end(), [&](const tensor_view* a, const tensor_view* b) {
    return a->type != b->type ? a->type > b->type : order == tensor_order::by_name && a->name < b->name;
  });
  std::vector<std::string_view> names;
  for (const tensor_view& tensor : tensors) names.push_back(tensor.name);
  names.push_back("__metadata__");
  std::sort(names.begin(), names.end());
  if (const auto twice = std::adjacent_find(names.begin(), names.end()); twice != names.end()) {
    throw format_error(format_fault::duplicate_name, path, "'" + std::string(*twice) + "'");
  }

  std::string json = "{";
  if (!metadata.empty()) {
    json += R"("__metadata__":{)";
    for (const auto& [key, text] : metadata) json += json_string(key, path) + ":" + json_string(text, path) + ",";
    json.back() = '}';
    json += ',';
  }
  for (const tensor_view* const tensor : layout.order) {
    layout.sizes.push_back(size_of(*tensor, path));
    const std::uint64_t begin = layout.data;
    if (__builtin_add_overflow(layout.data, layout.sizes.back(), &layout.data)) {
      throw format_error(format_fault::validation_overflow, path, "all tensors together are too large");
    }
    json += json_string(tensor->name, path) + R"(:{"dtype":")" + to_string(tensor->type) + R"(","shape":[)";
    for (const index_t size : tensor->shape) json += std::to_string(size) + ",";
    if (!tensor->shape.empty()) json.pop_back();
    json += R"(],"data_offsets":[)" + std::to_string(begin) + "," + std::to_string(layout.data) + "]},";
  }
  if (json.size() > 1) json.pop_back();
  json += '}';
  json.resize((json.size() + 7) / 8 * 8, ' ');
  if (json.size() > largest_header) {
    throw format_error(format_fault::header_too_large, path,
                       named("header", json.size()) + " bytes, expected up to 100000000");
  }
  const std::uint64_t length = json.size();
  layout.header.resize(sizeof length);
  std::memcpy(layout.header.data(), &length, sizeof length);
  layout.header += json;
  return layout;
}

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

SBORA_INSTANCE_OF std::string safetensors_header(std::span<const tensor_view> tensors,
                                                 const std::map<std::string, std::string>& metadata) {
  return detail::lay_out(tensors, metadata, {}).header;
}

SBORA_INSTANCE_OF safetensors_stream_writer::safetensors_stream_writer(
    const std::filesystem::path& path, std::span<const tensor_view> tensors,
    const std::map<std::string, std::string>& metadata, const std::filesystem::path& like, tensor_order order)
    : safetensors_stream_writer(path, detail::lay_out(tensors, metadata, path, order), like) {}

SBORA_INSTANCE_OF void safetensors_stream_writer::write(std::string_view name, std::span<const std::byte> piece) {
  if (piece.empty()) return;
  skip_complete();
  if (next_ == tensors_.size() || tensors_[next_].name != name || piece.size() > left_[next_]) {
    const std::string expected = next_ == tensors_.size()
                                     ? "none"
                                     : "up to " + std::to_string(left_[next_]) + " of '" + tensors_[next_].name + "'";
    throw format_error(format_fault::invalid_offset, file_.path(),
                       std::to_string(piece.size()) + " bytes of '" + std::string(name) + "', expected " + expected);
  }
  file_.write(piece);
  left_[next_] -= piece.size();
}

SBORA_INSTANCE_OF void safetensors_stream_writer::prepare() {
  require_complete();
  file_.prepare();
}

SBORA_INSTANCE_OF void safetensors_stream_writer::commit() {
  require_complete();
  file_.commit();
}

SBORA_INSTANCE_OF void safetensors_stream_writer::require_complete() {
  skip_complete();
  if (next_ < tensors_.size()) {
    throw format_error(format_fault::metadata_incomplete_buffer, file_.path(),
                       std::to_string(left_[next_]) + " bytes of '" + tensors_[next_].name + "' were not written");
  }
}

SBORA_INSTANCE_OF safetensors_stream_writer::safetensors_stream_writer(const std::filesystem::path& path,
                                                                       detail::file_layout layout,
                                                                       const std::filesystem::path& like)
    : file_(path, like), left_(std::move(layout.sizes)) {
  for (const tensor_view* const tensor : layout.order) {
    tensors_.push_back({tensor->name, tensor->type, tensor->shape, {}});
  }
  file_.reserve(layout.header.size() + layout.data);
  file_.write(layout.header);
}

SBORA_INSTANCE_OF void safetensors_stream_writer::skip_complete() noexcept {
  while (next_ < tensors_.size() && left_[next_] == 0) ++next_;
}

SBORA_INSTANCE_OF void write_safetensors(const std::filesystem::path& path, std::span<const tensor_view> tensors,
                                         const std::map<std::string, std::string>& metadata) {
  std::map<std::string_view, const tensor_view*> by_name;
  for (const tensor_view& tensor : tensors) {
    by_name[tensor.name] = &tensor;
    if (tensor.data.size() == detail::size_of(tensor, path)) continue;
    throw format_error(format_fault::tensor_invalid_info, path,
                       "tensor '" + tensor.name + "' has " + std::to_string(tensor.data.size()) + " bytes, expected " +
                           std::to_string(detail::size_of(tensor, path)) + " for " + to_string(tensor.type) + " " +
                           detail::shape_text(tensor.shape));
  }
  safetensors_stream_writer file(path, tensors, metadata);
  for (const tensor_view& tensor : file.tensors()) file.write(tensor.name, by_name.at(tensor.name)->data);
  file.commit();
}

}  // namespace sbora::inline SBORA_ABI
