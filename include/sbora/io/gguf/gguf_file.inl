#pragma once

#include <algorithm>
#include <numeric>

#include <sbora/core/checked_size.hpp>
#include <sbora/io/file_kind.hpp>
#include <sbora/io/gguf/gguf_file.hpp>
#include <sbora/io/json_text.hpp>
#include <sbora/io/limits.hpp>
#include <sbora/io/tensor.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// Goes over the bytes of a GGUF file's header, in which nothing is believed before it was compared with what is left.
class gguf_cursor {
 public:
  gguf_cursor(std::span<const std::byte> bytes, const std::filesystem::path& path) : rest_(bytes), path_(path) {}

  /// What is being read, for messages.
  void set_place(std::string place) { place_ = std::move(place); }

  [[noreturn]] void refuse(format_fault kind, const std::string& what) const {
    throw format_error(kind, path_, place_ + ": " + what);
  }

  std::size_t left() const noexcept { return rest_.size(); }

  std::span<const std::byte> take(std::uint64_t size) {
    if (size > rest_.size()) {
      refuse(format_fault::invalid_header_length,
             std::to_string(size) + " bytes, of which the file has " + std::to_string(rest_.size()));
    }
    const std::span<const std::byte> taken = rest_.first(size);
    rest_ = rest_.subspan(taken.size());
    return taken;
  }

  template <class T>
  T number() {
    T value;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }

  /// Of things of at least `least` bytes each: no more than the file has room for.
  std::uint64_t count(const char* what, std::uint64_t least) {
    const auto number = this->number<std::uint64_t>();
    if (number > left() / least) {
      refuse(format_fault::invalid_header_length,
             std::to_string(number) + " " + what + " in the " + std::to_string(left()) + " bytes that follow");
    }
    return number;
  }

  std::string_view string() {
    const std::span<const std::byte> bytes = take(number<std::uint64_t>());
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

  /// A key's or a tensor's.
  std::string_view name() {
    const std::string_view name = string();
    if (name.size() > largest_gguf_name) {
      refuse(format_fault::invalid_header, "a name of " + std::to_string(name.size()) + " bytes, expected up to " +
                                               std::to_string(largest_gguf_name));
    }
    if (const std::size_t bad = first_non_utf8(name); bad != name.npos) {
      refuse(format_fault::invalid_header, "its name is not UTF-8 at byte " + std::to_string(bad));
    }
    return name;
  }

  gguf_value value() {
    auto type = static_cast<gguf_type>(number<std::uint32_t>());
    const bool is_array = type == gguf_type::array;
    if (is_array) type = static_cast<gguf_type>(number<std::uint32_t>());
    const std::size_t width = gguf_value::width_of(type);
    if (width == 0 && type != gguf_type::string) {
      refuse(format_fault::invalid_header_deserialization,
             is_array && type == gguf_type::array
                 ? std::string("an array of arrays")
                 : "no type has number " + std::to_string(static_cast<std::uint32_t>(type)));
    }
    const std::uint64_t number = is_array ? count("elements", width != 0 ? width : sizeof(std::uint64_t)) : 1;
    const std::span<const std::byte> from = rest_;
    if (width != 0) take(number * width);
    else
      for (std::uint64_t i = 0; i < number; ++i) string();
    return {type, is_array, number, from.first(from.size() - rest_.size())};
  }

 private:
  std::span<const std::byte> rest_;
  const std::filesystem::path& path_;
  std::string place_;
};

/// A tensor as it is described, before its data is looked for.
struct gguf_description {
  gguf_tensor tensor;
  std::uint64_t offset;
  std::uint64_t bytes;
};

inline gguf_description read_description(gguf_cursor& cursor) {
  constexpr std::uint32_t most_dimensions = 4;  // GGML_MAX_DIMS
  gguf_description of = {};
  of.tensor.name = cursor.name();
  cursor.set_place("tensor '" + shortened(of.tensor.name) + "'");
  const auto dimensions = cursor.number<std::uint32_t>();
  if (dimensions > most_dimensions) {
    cursor.refuse(format_fault::tensor_invalid_info, std::to_string(dimensions) + " dimensions, expected up to 4");
  }
  for (std::uint32_t i = 0; i < dimensions; ++i) {
    const auto size = cursor.number<std::uint64_t>();
    if (size > static_cast<std::uint64_t>(std::numeric_limits<index_t>::max())) {
      cursor.refuse(format_fault::validation_overflow, "a dimension of " + std::to_string(size));
    }
    of.tensor.shape.insert(of.tensor.shape.begin(), static_cast<index_t>(size));
  }
  const auto type = cursor.number<std::uint32_t>();
  of.tensor.type = static_cast<ggml_type>(type);
  if (to_string(of.tensor.type) == nullptr) {
    cursor.refuse(format_fault::tensor_invalid_info, "no type of ggml has number " + std::to_string(type));
  }
  of.offset = cursor.number<std::uint64_t>();
  const ggml_layout& layout = layout_of(of.tensor.type);
  std::vector<index_t> blocks = of.tensor.shape;
  if (blocks.empty()) blocks.push_back(1);
  if (blocks.back() % layout.elements != 0) {
    cursor.refuse(format_fault::tensor_invalid_info, "rows of " + std::to_string(blocks.back()) + " elements, " +
                                                         layout.name + " has blocks of " +
                                                         std::to_string(layout.elements));
  }
  blocks.back() /= layout.elements;
  blocks.push_back(layout.bytes);
  const std::optional<index_t> bytes = size_product(blocks);
  if (!bytes) cursor.refuse(format_fault::validation_overflow, shape_text(of.tensor.shape) + " is too large");
  of.bytes = static_cast<std::uint64_t>(*bytes);
  return of;
}

/// Positions, ascending by name. Errors: format_error where one comes twice.
template <class Named, class NameOf>
std::vector<std::size_t> sorted_names(const std::vector<Named>& all, NameOf&& name_of, const char* what,
                                      const std::filesystem::path& path) {
  std::vector<std::size_t> sorted(all.size());
  std::iota(sorted.begin(), sorted.end(), std::size_t{0});
  const auto name = [&](std::size_t i) { return name_of(all[i]); };
  std::ranges::sort(sorted, {}, name);
  const auto twice = std::ranges::adjacent_find(sorted, {}, name);
  if (twice == sorted.end()) return sorted;
  throw format_error(format_fault::duplicate_name, path, std::string(what) + " '" + shortened(name(*twice)) + "'");
}

template <class Named, class NameOf>
const Named* found_by_name(const std::vector<Named>& all, const std::vector<std::size_t>& sorted, NameOf&& name_of,
                           std::string_view wanted) noexcept {
  const auto name = [&](std::size_t i) { return name_of(all[i]); };
  const auto at = std::ranges::lower_bound(sorted, wanted, {}, name);
  return at != sorted.end() && name(*at) == wanted ? &all[*at] : nullptr;
}

inline constexpr auto key_of = [](const gguf_entry& entry) { return entry.key; };
inline constexpr auto tensor_name_of = [](const gguf_tensor& tensor) { return tensor.name; };

/// Gives all of them their data. Errors: format_error where an offset isn't aligned, where two share bytes, or where
/// the file ends before one does.
inline void place_tensors(std::vector<gguf_description>& all, std::span<const std::byte> data, std::uint64_t alignment,
                          const std::filesystem::path& path) {
  std::vector<gguf_description*> by_offset;
  for (gguf_description& of : all) {
    const auto refuse = [&](format_fault kind, const std::string& what) {
      throw format_error(kind, path,
                         "tensor '" + shortened(of.tensor.name) + "': offset " + std::to_string(of.offset) + what);
    };
    if (of.offset % alignment != 0) {
      refuse(format_fault::invalid_offset, ", expected a multiple of " + std::to_string(alignment));
    }
    if (of.offset > data.size() || of.bytes > data.size() - of.offset) {
      refuse(format_fault::metadata_incomplete_buffer,
             " and " + std::to_string(of.bytes) + " bytes, of " + std::to_string(data.size()) + " that the file has");
    }
    of.tensor.data = data.subspan(of.offset, of.bytes);
    if (of.bytes > 0) by_offset.push_back(&of);
  }
  std::ranges::sort(by_offset, {}, &gguf_description::offset);
  for (std::size_t i = 1; i < by_offset.size(); ++i) {
    const gguf_description &before = *by_offset[i - 1], &of = *by_offset[i];
    if (before.offset + before.bytes <= of.offset) continue;
    throw format_error(format_fault::invalid_offset, path,
                       "tensors '" + shortened(before.tensor.name) + "' and '" + shortened(of.tensor.name) +
                           "' share bytes from offset " + std::to_string(of.offset) + " on");
  }
}

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

SBORA_INSTANCE_OF gguf_file gguf_file::open(const std::filesystem::path& path) {
  mapped_file mapping(path);
  gguf_file file;
  file.read(mapping.bytes(), path);
  file.mapping_ = std::move(mapping);
  return file;
}

SBORA_INSTANCE_OF gguf_file gguf_file::from_memory(std::span<const std::byte> bytes) {
  gguf_file file;
  file.read(bytes, {});
  return file;
}

SBORA_INSTANCE_OF const gguf_tensor* gguf_file::find(std::string_view name) const& noexcept {
  return detail::found_by_name(tensors_, names_, detail::tensor_name_of, name);
}

SBORA_INSTANCE_OF const gguf_tensor& gguf_file::at(std::string_view name) const& {
  if (const gguf_tensor* const found = find(name)) return *found;
  throw format_error(format_fault::missing_tensor, path_, "no tensor '" + std::string(name) + "'");
}

SBORA_INSTANCE_OF gguf_value gguf_file::value(std::string_view key) const& noexcept {
  const gguf_entry* const found = detail::found_by_name(metadata_, keys_, detail::key_of, key);
  return found != nullptr ? found->value : gguf_value();
}

SBORA_INSTANCE_OF void gguf_file::read(std::span<const std::byte> bytes, const std::filesystem::path& path) {
  path_ = path;
  bytes_ = bytes;
  detail::gguf_cursor cursor(bytes, path_);
  cursor.set_place("header");
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (!text.starts_with("GGUF")) {
    detail::refuse_other_file(text, path_);
    cursor.refuse(format_fault::invalid_header, "it doesn't begin with GGUF");
  }
  cursor.take(4);
  version_ = cursor.number<std::uint32_t>();
  if (version_ != 2 && version_ != 3) {
    const bool swapped = (version_ & 0xFFFFU) == 0;
    cursor.refuse(format_fault::invalid_header, swapped ? std::string("it is big-endian, expected little-endian")
                                                        : "version " + std::to_string(version_) + ", expected 2 or 3");
  }
  // The least that a tensor and a key take.
  const std::uint64_t tensors = cursor.count("tensors", 24), keys = cursor.count("keys", 13);
  metadata_.reserve(keys);
  for (std::uint64_t i = 0; i < keys; ++i) {
    cursor.set_place("key " + std::to_string(i));
    const std::string_view key = cursor.name();
    cursor.set_place("key '" + detail::shortened(key) + "'");
    metadata_.push_back({key, cursor.value()});
  }
  keys_ = detail::sorted_names(metadata_, detail::key_of, "key", path_);
  if (const gguf_value given = value("general.alignment")) {
    const auto number = given.number<std::uint32_t>();
    cursor.set_place("key 'general.alignment'");
    if (!number || (*number & (*number - 1)) != 0 || *number == 0) {
      cursor.refuse(format_fault::invalid_offset, "expected a power of two");
    }
    alignment_ = *number;
  }
  std::vector<detail::gguf_description> described;
  described.reserve(tensors);
  for (std::uint64_t i = 0; i < tensors; ++i) {
    cursor.set_place("tensor " + std::to_string(i));
    described.push_back(detail::read_description(cursor));
  }
  // The first tensor's place is aligned too; a file without any may end before.
  const std::uint64_t header = bytes.size() - cursor.left(), over = header % alignment_;
  const std::uint64_t padding = over == 0 ? 0 : alignment_ - over;
  detail::place_tensors(described, bytes.subspan(std::min<std::size_t>(bytes.size(), header + padding)), alignment_,
                        path_);
  tensors_.reserve(described.size());
  for (detail::gguf_description& of : described) tensors_.push_back(std::move(of.tensor));
  names_ = detail::sorted_names(tensors_, detail::tensor_name_of, "tensor", path_);
}

}  // namespace sbora::inline SBORA_ABI
