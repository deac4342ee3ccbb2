#pragma once

#include <algorithm>
#include <numeric>
#include <optional>
#include <tuple>

#include <sbora/io/file_kind.hpp>
#include <sbora/io/mapped_file.hpp>
#include <sbora/io/safetensors/safetensors_header.hpp>

namespace sbora::inline SBORA_ABI {

/// A safetensors file, in place.
///
/// Effect      every rule of the reference implementation is checked, in its order, before a tensor can be seen;
///             beyond it, a name that comes twice is refused, and a dimension that index_t can't hold.
/// Lifetime    tensors point into the file's mapping, which ends with this object, or into the caller's memory;
///             moving this object keeps them.
/// Cost        reads the header and no page of the data, whatever the size; find() is a binary search.
/// Thread      read-only once it is open.
/// Errors      file_error; format_error naming the rule, the tensor and the file.
/// Source      huggingface/safetensors, safetensors/src/tensor.rs.
class safetensors_file {
 public:
  static safetensors_file open(const std::filesystem::path& path) {
    mapped_file mapping(path);
    safetensors_file file;
    file.read(mapping.bytes(), path);
    file.mapping_ = std::move(mapping);
    return file;
  }

  static safetensors_file from_memory(std::span<const std::byte> bytes) {
    safetensors_file file;
    file.read(bytes, {});
    return file;
  }

  safetensors_file(safetensors_file&&) = default;
  safetensors_file& operator=(safetensors_file&&) = default;

  /// In the order of their bytes.
  std::span<const tensor_view> tensors() const noexcept { return tensors_; }

  /// Null where there is none of that name.
  const tensor_view* find(std::string_view name) const noexcept {
    const auto at = std::lower_bound(by_name_.begin(), by_name_.end(), name,
                                     [&](std::size_t i, std::string_view key) { return tensors_[i].name < key; });
    return at != by_name_.end() && tensors_[*at].name == name ? &tensors_[*at] : nullptr;
  }

  const tensor_view& at(std::string_view name) const {
    if (const tensor_view* const found = find(name)) return *found;
    throw format_error(safetensors_fault::missing_tensor, path_, "no tensor '" + std::string(name) + "'");
  }

  const std::map<std::string, std::string>& metadata() const noexcept { return metadata_; }

  /// All of the file.
  std::span<const std::byte> bytes() const noexcept { return bytes_; }

  /// These bytes needn't stay in memory, see mapped_file. Nothing where it was read from memory.
  void release(std::span<const std::byte> part) const noexcept {
    if (mapping_) mapping_->release(part);
  }

  /// Empty where it was read from memory.
  const std::filesystem::path& path() const noexcept { return path_; }

 private:
  using fault = safetensors_fault;

  safetensors_file() = default;

  void read(std::span<const std::byte> bytes, const std::filesystem::path& path) {
    path_ = path;
    bytes_ = bytes;
    std::uint64_t header = 0;
    if (bytes.size() < sizeof header) refuse(fault::header_too_small, named("bytes", bytes.size()) + ", expected 8");
    std::memcpy(&header, bytes.data(), sizeof header);
    if (header > detail::largest_header) {
      detail::refuse_other_file({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path);
      refuse(fault::header_too_large, named("header", header) + " bytes, expected up to 100000000");
    }
    if (header > bytes.size() - sizeof header) {
      refuse(fault::invalid_header_length,
             named("header", header) + " bytes in a file of " + std::to_string(bytes.size()));
    }
    const std::string_view text(reinterpret_cast<const char*>(bytes.data() + sizeof header), header);
    if (const std::size_t bad = detail::first_non_utf8(text); bad != text.npos) {
      refuse(fault::invalid_header, "not UTF-8 at byte " + std::to_string(bad));
    }
    detail::header_parser parser(path);
    parser.parse(text);
    metadata_ = std::move(parser.metadata);
    take(std::move(parser.tensors), bytes.subspan(sizeof header + header));
  }

  void take(std::vector<detail::tensor_entry> entries, std::span<const std::byte> data) {
    std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) {
      return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
    });
    by_name_.resize(entries.size());
    std::iota(by_name_.begin(), by_name_.end(), std::size_t{0});
    std::sort(by_name_.begin(), by_name_.end(),
              [&](std::size_t a, std::size_t b) { return entries[a].name < entries[b].name; });
    const auto twice = std::adjacent_find(by_name_.begin(), by_name_.end(), [&](std::size_t a, std::size_t b) {
      return entries[a].name == entries[b].name;
    });
    if (twice != by_name_.end()) refuse(fault::duplicate_name, "'" + detail::shortened(entries[*twice].name) + "'");

    std::uint64_t end = 0;
    for (const detail::tensor_entry& entry : entries) {
      check(entry, end);
      end = entry.end;
    }
    if (end != data.size()) {
      refuse(fault::metadata_incomplete_buffer, "tensors of " + std::to_string(end) + " bytes, and " +
                                                    std::to_string(data.size()) + " bytes after the header");
    }
    tensors_.reserve(entries.size());
    for (detail::tensor_entry& entry : entries) {
      tensors_.push_back({std::move(entry.name),
                          entry.type,
                          {entry.shape.begin(), entry.shape.end()},
                          data.subspan(entry.begin, entry.end - entry.begin)});
    }
  }

  void check(const detail::tensor_entry& entry, std::uint64_t previous_end) const {
    const auto refuse_it = [&](fault kind, const std::string& what) {
      refuse(kind, "tensor '" + detail::shortened(entry.name) + "': " + what);
    };
    const auto offsets = [&] { return "[" + std::to_string(entry.begin) + ", " + std::to_string(entry.end) + "]"; };
    if (entry.begin != previous_end || entry.end < entry.begin) {
      refuse_it(fault::invalid_offset,
                "data_offsets " + offsets() + ", expected to begin at " + std::to_string(previous_end));
    }
    const std::optional<std::uint64_t> fits = detail::bits_of_shape(entry.shape, entry.type);
    if (!fits) refuse_it(fault::validation_overflow, "its shape is too large");
    const std::uint64_t bits = *fits;
    if (bits % 8 != 0) refuse_it(fault::misaligned_slice, std::to_string(bits) + " bits, expected whole bytes");
    if (bits / 8 != entry.end - entry.begin) {
      refuse_it(fault::tensor_invalid_info, "data_offsets " + offsets() + ", expected " + std::to_string(bits / 8) +
                                                " bytes for its shape and dtype");
    }
  }

  [[noreturn]] void refuse(fault kind, const std::string& what) const { throw format_error(kind, path_, what); }

  static std::string named(const char* name, std::uint64_t value) { return detail::named(name, value); }

  std::filesystem::path path_;
  std::optional<mapped_file> mapping_;
  std::span<const std::byte> bytes_;
  std::vector<tensor_view> tensors_;
  std::vector<std::size_t> by_name_;
  std::map<std::string, std::string> metadata_;
};

}  // namespace sbora::inline SBORA_ABI
