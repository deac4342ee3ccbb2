#pragma once

#include <algorithm>
#include <tuple>

#include <sbora/io/file_kind.hpp>
#include <sbora/io/safetensors/safetensors_file.hpp>
#include <sbora/io/safetensors/safetensors_header.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// Why an entry can't follow one that ends at `previous_end`, or nothing.
inline std::optional<std::pair<format_fault, std::string>> fault_of(const tensor_entry& entry,
                                                                    std::uint64_t previous_end) {
  const auto refused = [&](format_fault kind, const std::string& what) {
    return std::pair(kind, "tensor '" + shortened(entry.name) + "': " + what);
  };
  const auto offsets = [&] { return "[" + std::to_string(entry.begin) + ", " + std::to_string(entry.end) + "]"; };
  if (entry.begin != previous_end || entry.end < entry.begin) {
    return refused(format_fault::invalid_offset,
                   "data_offsets " + offsets() + ", expected to begin at " + std::to_string(previous_end));
  }
  const std::optional<std::uint64_t> bits = bits_of_shape(entry.shape, entry.type);
  if (!bits) return refused(format_fault::validation_overflow, "its shape is too large");
  if (*bits % 8 != 0) {
    return refused(format_fault::misaligned_slice, std::to_string(*bits) + " bits, expected whole bytes");
  }
  if (*bits / 8 != entry.end - entry.begin) {
    return refused(format_fault::tensor_invalid_info, "data_offsets " + offsets() + ", expected " +
                                                          std::to_string(*bits / 8) + " bytes for its shape and dtype");
  }
  return std::nullopt;
}

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

SBORA_INSTANCE_OF safetensors_file safetensors_file::open(const std::filesystem::path& path) {
  mapped_file mapping(path);
  safetensors_file file;
  file.read(mapping.bytes(), path);
  file.mapping_ = std::move(mapping);
  return file;
}

SBORA_INSTANCE_OF safetensors_file safetensors_file::from_memory(std::span<const std::byte> bytes) {
  safetensors_file file;
  file.read(bytes, {});
  return file;
}

SBORA_INSTANCE_OF const tensor_view& safetensors_file::at(std::string_view name) const& {
  if (const tensor_view* const found = find(name)) return *found;
  throw format_error(format_fault::missing_tensor, path_, "no tensor '" + std::string(name) + "'");
}

SBORA_INSTANCE_OF void safetensors_file::refuse(format_fault kind, const std::string& what) const {
  throw format_error(kind, path_, what);
}

SBORA_INSTANCE_OF void safetensors_file::read(std::span<const std::byte> bytes, const std::filesystem::path& path) {
  using detail::named;
  path_ = path;
  bytes_ = bytes;
  std::uint64_t header = 0;
  if (bytes.size() < sizeof header) {
    refuse(format_fault::header_too_small, named("bytes", bytes.size()) + ", expected 8");
  }
  std::memcpy(&header, bytes.data(), sizeof header);
  if (header > detail::largest_header) {
    detail::refuse_other_file({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path);
    refuse(format_fault::header_too_large, named("header", header) + " bytes, expected up to 100000000");
  }
  if (header > bytes.size() - sizeof header) {
    refuse(format_fault::invalid_header_length,
           named("header", header) + " bytes in a file of " + std::to_string(bytes.size()));
  }
  const std::string_view text(reinterpret_cast<const char*>(bytes.data() + sizeof header), header);
  if (const std::size_t bad = detail::first_non_utf8(text); bad != text.npos) {
    refuse(format_fault::invalid_header, "not UTF-8 at byte " + std::to_string(bad));
  }
  detail::header_parser parser(path);
  parser.parse(text);
  metadata_ = std::move(parser.metadata);

  std::vector<detail::tensor_entry> entries = std::move(parser.tensors);
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) {
    return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
  });
  for (const detail::tensor_entry& entry : entries) {  // without data, until that is checked
    tensors_.push_back({entry.name, entry.type, {entry.shape.begin(), entry.shape.end()}, {}});
  }
  index_ = detail::tensor_index(tensors_);
  if (const tensor_view* const twice = index_.repeated(tensors_)) {
    refuse(format_fault::duplicate_name, "'" + detail::shortened(twice->name) + "'");
  }
  const std::span<const std::byte> data = bytes.subspan(sizeof header + header);
  std::uint64_t end = 0;
  for (const detail::tensor_entry& entry : entries) {
    if (const auto fault = detail::fault_of(entry, end)) refuse(fault->first, fault->second);
    end = entry.end;
  }
  if (end != data.size()) {
    refuse(format_fault::metadata_incomplete_buffer, "tensors of " + std::to_string(end) + " bytes, and " +
                                                         std::to_string(data.size()) + " bytes after the header");
  }
  for (std::size_t i = 0; i < entries.size(); ++i) {
    tensors_[i].data = data.subspan(entries[i].begin, entries[i].end - entries[i].begin);
  }
}

}  // namespace sbora::inline SBORA_ABI
