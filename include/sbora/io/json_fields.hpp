#pragma once

#include <limits>
#include <optional>
#include <set>

#include <sbora/io/json_text.hpp>
#include <sbora/model/problem_list.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// Reads the keys of one JSON object, each at most once and with its type checked; null is as if it weren't there.
/// What is asked for and wrong becomes a problem, what is never asked for can be listed at the end.
class json_fields {
 public:
  json_fields(const ordered_json& object, std::string where, problem_list& problems)
      : object_(object), where_(std::move(where)), problems_(problems) {}

  /// Null where the key is missing or null. Counts as read.
  const ordered_json* find(const char* key) {
    read_.insert(key);
    const auto found = object_.find(key);
    return found == object_.end() || found->is_null() ? nullptr : &*found;
  }

  void wrong(const char* key, const char* expected, const ordered_json& value) {
    problems_.add(where_ + key + ": expected " + expected + ", got " + excerpt(value));
  }

  void read(const char* key, bool& into) { read_if<bool>(&ordered_json::is_boolean, "true or false", key, into); }
  void read(const char* key, std::string& into) {
    read_if<std::string>(&ordered_json::is_string, "a string", key, into);
  }
  void read(const char* key, std::optional<std::string>& into) {
    read_if<std::string>(&ordered_json::is_string, "a string", key, into);
  }
  /// In [0, 2^64).
  void read(const char* key, std::optional<std::uint64_t>& into) {
    read_if<std::uint64_t>(&ordered_json::is_number_unsigned, "an integer of 0 or more", key, into);
  }

  static std::optional<index_t> positive_integer(const ordered_json& value) {
    const bool good = value.is_number_unsigned() && value.get<std::uint64_t>() >= 1 &&
                      value.get<std::uint64_t>() <= std::uint64_t{std::numeric_limits<index_t>::max()};
    return good ? std::optional(value.get<index_t>()) : std::nullopt;
  }
  void read_positive(const char* key, index_t& into) {
    const ordered_json* value = find(key);
    if (value == nullptr) return;
    const auto number = positive_integer(*value);
    number ? void(into = *number) : wrong(key, "an integer of 1 or more", *value);
  }

  static std::optional<double> positive_number(const ordered_json& value) {
    const double number = value.is_number() ? value.get<double>() : 0;
    return number > 0 && number <= std::numeric_limits<double>::max() ? std::optional(number) : std::nullopt;
  }
  void read_positive(const char* key, double& into) {
    const ordered_json* value = find(key);
    if (value == nullptr) return;
    const auto number = positive_number(*value);
    number ? void(into = *number) : wrong(key, "a positive number", *value);
  }

  /// Keys that were never asked for.
  std::vector<std::string> unread() const {
    std::vector<std::string> keys;
    for (const auto& [key, value] : object_.items()) {
      if (read_.find(key) == read_.end()) keys.push_back(key);
    }
    return keys;
  }

  /// For messages: what was there, cut short.
  static std::string excerpt(const ordered_json& value) {
    std::string text = value.dump(-1, ' ', true, ordered_json::error_handler_t::replace);
    return text.size() > 60 ? text.substr(0, 57) + "..." : text;
  }

 private:
  template <class Read, class Value>
  void read_if(bool (ordered_json::*fits)() const noexcept, const char* expected, const char* key, Value& into) {
    const ordered_json* value = find(key);
    if (value == nullptr) return;
    (value->*fits)() ? void(into = value->get<Read>()) : wrong(key, expected, *value);
  }

  const ordered_json& object_;
  std::string where_;
  problem_list& problems_;
  std::set<std::string, std::less<>> read_;
};

}  // namespace sbora::inline SBORA_ABI::detail
