#pragma once

#include <cstddef>
#include <filesystem>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include <sbora/io/errors.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// Deeper JSON is refused: what sbora reads has a few levels, and other parsers' stacks end somewhere.
inline constexpr int deepest_json = 128;

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

/// The JSON of a small file, such as a config or an index. Json: nlohmann::json, or ordered_json to keep the
/// order of keys, which takes time quadratic in their number.
/// Errors: format_error (invalid_json) where it isn't JSON, is deeper than deepest_json, or repeats a key.
template <class Json = nlohmann::json>
Json parse_json(std::string_view text, const std::filesystem::path& path) {
  const auto refuse = [&](const std::string& what) {
    throw format_error(safetensors_fault::invalid_json, path, what);
  };
  if (const std::string found = no_json(text); !found.empty()) refuse(found);
  std::vector<std::set<std::string>> keys;  // of the objects that are open
  const auto watch = [&](int depth, typename Json::parse_event_t event, Json& parsed) {
    if (depth > deepest_json) refuse("deeper than " + std::to_string(deepest_json) + " levels");
    if (event == Json::parse_event_t::object_start) keys.emplace_back();
    if (event == Json::parse_event_t::object_end) keys.pop_back();
    if (event == Json::parse_event_t::key) {
      const auto& key = parsed.template get_ref<const std::string&>();
      if (!keys.back().insert(key).second) refuse("key '" + key + "' twice");
    }
    return true;
  };
  try {
    return Json::parse(text.begin(), text.end(), watch);
  } catch (const nlohmann::json::exception& problem) {
    refuse(problem.what());
  }
  return {};  // not reached
}

}  // namespace sbora::inline SBORA_ABI::detail
