#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include <sbora/io/errors.hpp>
#include <sbora/io/limits.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// Where text stops being UTF-8, or npos: no overlong forms, no surrogates, nothing above U+10FFFF.
inline std::size_t first_non_utf8(std::string_view text) noexcept {
  const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U; };
  for (std::size_t i = 0; i < text.size();) {
    const unsigned lead = byte(i);
    if (lead < 0x80) {
      ++i;
      continue;
    }
    std::size_t following = 0;
    unsigned low = 0x80, high = 0xBF;  // of the second byte
    if (lead >= 0xC2 && lead <= 0xDF) {
      following = 1;
    } else if (lead >= 0xE0 && lead <= 0xEF) {
      following = 2;
      if (lead == 0xE0) low = 0xA0;
      if (lead == 0xED) high = 0x9F;
    } else if (lead >= 0xF0 && lead <= 0xF4) {
      following = 3;
      if (lead == 0xF0) low = 0x90;
      if (lead == 0xF4) high = 0x8F;
    } else {
      return i;
    }
    if (byte(i + 1) < low || byte(i + 1) > high) return i;
    for (std::size_t k = 2; k <= following; ++k) {
      if (byte(i + k) < 0x80 || byte(i + k) > 0xBF) return i;
    }
    i += following + 1;
  }
  return std::string_view::npos;
}

/// What nlohmann_json takes and JSON doesn't have: a byte order mark, and a NUL, at which it stops reading.
/// Empty where there is neither.
inline std::string no_json(std::string_view text) {
  if (text.starts_with("\xEF\xBB\xBF")) return "a byte order mark";
  const std::size_t zero = text.find('\0');
  return zero == std::string_view::npos ? std::string() : "a NUL at byte " + std::to_string(zero);
}

/// nlohmann_json's words without its own name and number for them in front.
inline std::string without_json_code(std::string_view what) {
  const std::size_t end = what.starts_with("[json.exception.") ? what.find("] ") : std::string_view::npos;
  return std::string(end == std::string_view::npos ? what : what.substr(end + 2));
}

/// JSON whose objects keep the order of their keys.
using ordered_json = nlohmann::ordered_json;

/// A member of an object that has none of that name yet. (ordered_json itself looks a name up among all the others, so
/// that filling one takes time quadratic in their number.)
inline void add_member(ordered_json& object, std::string name, ordered_json value) {
  using members = ordered_json::object_t::Container;
  static_cast<members&>(object.get_ref<ordered_json::object_t&>()).emplace_back(std::move(name), std::move(value));
}

/// Makes a document as nlohmann_json's parser goes over the text (its SAX interface), in time linear in it.
class json_builder {
 public:
  explicit json_builder(const std::filesystem::path& path) : path_(path) {}

  ordered_json build(std::string_view text) {
    ordered_json::sax_parse(text.begin(), text.end(), this);
    return std::move(document_);
  }

  [[noreturn]] void refuse(const std::string& what) const {
    throw format_error(format_fault::invalid_json, path_, what);
  }

  // What the parser calls. True: go on.
  bool null() { return put(nullptr); }
  bool boolean(bool value) { return put(value); }
  bool number_integer(std::int64_t value) { return put(value); }
  bool number_unsigned(std::uint64_t value) { return put(value); }
  bool number_float(double value, const std::string&) { return put(value); }
  bool string(std::string& value) { return put(std::move(value)); }
  bool binary(ordered_json::binary_t&) { return false; }  // text has none
  bool start_object(std::size_t) { return open(ordered_json::object()); }
  bool start_array(std::size_t) { return open(ordered_json::array()); }
  bool end_array() { return close(); }
  bool end_object() {
    refuse_repeated(open_.back().value);
    return close();
  }
  bool key(std::string& name) {
    open_.back().key = std::move(name);
    return true;
  }
  bool parse_error(std::size_t, const std::string&, const nlohmann::json::exception& problem) {
    refuse(shortened(without_json_code(problem.what()), 300));
  }

 private:
  /// An array or object that isn't complete, and the name of its next member.
  struct level {
    ordered_json value;
    std::string key;
  };

  bool put(ordered_json value) {
    if (open_.empty()) {
      document_ = std::move(value);
    } else if (level& in = open_.back(); in.value.is_array()) {
      in.value.push_back(std::move(value));
    } else {
      add_member(in.value, std::move(in.key), std::move(value));
    }
    return true;
  }

  bool open(ordered_json empty) {
    if (open_.size() == deepest_json) refuse("deeper than " + std::to_string(deepest_json) + " levels");
    open_.push_back({std::move(empty), {}});
    return true;
  }

  bool close() {
    ordered_json value = std::move(open_.back().value);
    open_.pop_back();
    return put(std::move(value));
  }

  void refuse_repeated(const ordered_json& object) {
    keys_.clear();
    for (const auto& member : object.get_ref<const ordered_json::object_t&>()) keys_.push_back(member.first);
    std::sort(keys_.begin(), keys_.end());
    const auto twice = std::adjacent_find(keys_.begin(), keys_.end());
    if (twice != keys_.end()) refuse("key '" + shortened(*twice) + "' twice");
  }

  const std::filesystem::path& path_;
  ordered_json document_;
  std::vector<level> open_;
  std::vector<std::string_view> keys_;
};

/// The JSON of a small file, such as a config or an index, of up to `most` bytes. Time and memory linear in the text.
/// Errors: format_error (invalid_json) where it is larger, isn't JSON, is deeper than deepest_json, or repeats a key.
inline ordered_json parse_json(std::string_view text, const std::filesystem::path& path,
                               std::size_t most = largest_config) {
  json_builder builder(path);
  if (text.size() > most) {
    builder.refuse(std::to_string(text.size()) + " bytes, expected up to " + std::to_string(most));
  }
  if (const std::string found = no_json(text); !found.empty()) builder.refuse(found);
  return builder.build(text);
}

}  // namespace sbora::inline SBORA_ABI::detail
