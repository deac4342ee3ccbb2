#pragma once

#include <sbora/core/checked_size.hpp>
#include <sbora/io/gguf/gguf_writer.hpp>
#include <sbora/io/limits.hpp>

namespace sbora::inline SBORA_ABI::detail {

template <class T>
void append_raw(std::string& bytes, T value) {
  bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
}
inline void append_text(std::string& bytes, std::string_view text) {
  append_raw<std::uint64_t>(bytes, text.size());
  bytes += text;
}

/// Up to the next multiple.
inline std::uint64_t padding_of(std::uint64_t bytes, std::uint64_t alignment) noexcept {
  return (alignment - bytes % alignment) % alignment;
}

/// Errors: format_error where type and shape say of no whole blocks, or of too many.
inline std::uint64_t bytes_of(const gguf_tensor& tensor, const std::filesystem::path& path) {
  const ggml_layout& layout = layout_of(tensor.type);
  const std::optional<index_t> elements = size_product(tensor.shape);
  const std::optional<index_t> bytes =
      elements ? size_product({*elements / layout.elements, layout.bytes}) : std::nullopt;
  if (!bytes || (!tensor.shape.empty() && tensor.shape.back() % layout.elements != 0)) {
    throw format_error(format_fault::tensor_invalid_info, path,
                       "tensor '" + shortened(tensor.name) + "' of " + shape_text(tensor.shape) +
                           " isn't whole blocks of " + std::to_string(layout.elements));
  }
  return static_cast<std::uint64_t>(*bytes);
}

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

SBORA_INSTANCE_OF void gguf_metadata::put(std::string_view key, gguf_type type, std::string_view value) {
  detail::append_text(bytes_, key);
  detail::append_raw(bytes_, type);
  bytes_ += value;
  ++count_;
}

SBORA_INSTANCE_OF gguf_metadata& gguf_metadata::add(std::string_view key, std::string_view text) & {
  std::string value;
  detail::append_text(value, text);
  put(key, gguf_type::string, value);
  return *this;
}
SBORA_INSTANCE_OF gguf_metadata& gguf_metadata::add(std::string_view key, std::uint32_t number) & {
  std::string value;
  detail::append_raw(value, number);
  put(key, gguf_type::u32, value);
  return *this;
}
SBORA_INSTANCE_OF gguf_metadata& gguf_metadata::add(std::string_view key, float number) & {
  std::string value;
  detail::append_raw(value, number);
  put(key, gguf_type::f32, value);
  return *this;
}
SBORA_INSTANCE_OF gguf_metadata& gguf_metadata::add(const gguf_entry& entry) & {
  const gguf_value& of = entry.value;
  std::string value;
  if (of.is_array()) {
    detail::append_raw(value, of.type());
    detail::append_raw(value, of.size());
  }
  value.append(reinterpret_cast<const char*>(of.bytes().data()), of.bytes().size());
  put(entry.key, of.is_array() ? gguf_type::array : of.type(), value);
  return *this;
}

SBORA_INSTANCE_OF gguf_stream_writer::gguf_stream_writer(const std::filesystem::path& path,
                                                         const gguf_metadata& metadata,
                                                         std::span<const gguf_tensor> tensors, std::uint64_t alignment,
                                                         const std::filesystem::path& like)
    : file_(path, like) {
  std::string header = "GGUF";
  detail::append_raw<std::uint32_t>(header, 3);
  detail::append_raw<std::uint64_t>(header, tensors.size());
  detail::append_raw(header, metadata.size());
  header += metadata.bytes();
  std::uint64_t offset = 0;
  for (const gguf_tensor& of : tensors) {
    const std::uint64_t bytes = detail::bytes_of(of, path);
    detail::append_text(header, of.name);
    detail::append_raw(header, static_cast<std::uint32_t>(of.shape.size()));
    for (auto size = of.shape.rbegin(); size != of.shape.rend(); ++size) {
      detail::append_raw(header, static_cast<std::uint64_t>(*size));
    }
    detail::append_raw(header, of.type);
    detail::append_raw(header, offset);
    const std::uint64_t padding = detail::padding_of(bytes, alignment);
    offset += bytes + padding;
    tensors_.push_back({std::string(of.name), bytes, padding});
  }
  header.append(detail::padding_of(header.size(), alignment), '\0');
  file_.reserve(header.size() + offset);
  file_.write(header);
  finish_tensors();
}

SBORA_INSTANCE_OF void gguf_stream_writer::write(std::string_view name, std::span<const std::byte> piece) {
  if (piece.empty()) return;
  if (next_ == tensors_.size() || tensors_[next_].name != name || piece.size() > tensors_[next_].left) {
    const std::string expected = next_ == tensors_.size() ? "none"
                                                          : "up to " + std::to_string(tensors_[next_].left) + " of '" +
                                                                tensors_[next_].name + "'";
    throw format_error(format_fault::invalid_offset, file_.path(),
                       std::to_string(piece.size()) + " bytes of '" + std::string(name) + "', expected " + expected);
  }
  file_.write(piece);
  tensors_[next_].left -= piece.size();
  finish_tensors();
}

SBORA_INSTANCE_OF void gguf_stream_writer::commit() {
  if (next_ < tensors_.size()) {
    throw format_error(
        format_fault::metadata_incomplete_buffer, file_.path(),
        std::to_string(tensors_[next_].left) + " bytes of '" + tensors_[next_].name + "' were not written");
  }
  file_.commit();
}

/// Pads those that are complete.
SBORA_INSTANCE_OF void gguf_stream_writer::finish_tensors() {
  for (; next_ < tensors_.size() && tensors_[next_].left == 0; ++next_) {
    file_.write(std::string(tensors_[next_].padding, '\0'));
  }
}

}  // namespace sbora::inline SBORA_ABI
