#pragma once

#include <initializer_list>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>
#include <sbora/core/index.hpp>

#include "common/error.hpp"
#include "common/programs.hpp"

namespace examples {

using sbora::index_t;

/// The values of one JSON object, with messages that say where they are. Null counts as absent, as it does
/// in Python.
///
/// Lifetime    refers to the object.
/// Errors      input_error that names place, field and value.
class json_fields {
 public:
  using json = nlohmann::json;

  json_fields(const json& object, std::string where) : object_(object), where_(std::move(where)) {
    if (!object.is_object()) fail("is not a JSON object");
  }

  const json* find(const char* name) {
    known_.insert(name);
    const auto found = object_.find(name);
    return found == object_.end() || found->is_null() ? nullptr : &*found;
  }
  /// Whether the field is there as null.
  bool is_null(const char* name) {
    known_.insert(name);
    const auto found = object_.find(name);
    return found != object_.end() && found->is_null();
  }
  const json& at(const char* name) {
    const json* const value = find(name);
    if (!value) fail(std::string(name) + " is missing");
    return *value;
  }

  index_t count(const char* name) { return count_of(name, at(name)); }
  index_t count(const char* name, index_t otherwise) {
    const json* const value = find(name);
    return value ? count_of(name, *value) : otherwise;
  }

  double number(const char* name) { return number_of(name, at(name)); }
  double number(const char* name, double otherwise) {
    const json* const value = find(name);
    return value ? number_of(name, *value) : otherwise;
  }

  bool flag(const char* name, bool otherwise) {
    const json* const value = find(name);
    if (!value) return otherwise;
    if (!value->is_boolean()) fail(std::string(name) + " = " + value->dump() + ", expected true or false");
    return value->get<bool>();
  }

  std::optional<bool> optional_flag(const char* name) {
    return find(name) ? std::optional(flag(name, false)) : std::nullopt;
  }

  std::string text(const char* name) { return text_of(name, at(name)); }
  std::string text(const char* name, const char* otherwise) {
    const json* const value = find(name);
    return value ? text_of(name, *value) : otherwise;
  }

  /// A field that has to be this where it is given.
  void require(const char* name, const json& expected) {
    const json* const value = find(name);
    if (value && *value != expected) {
      fail(std::string(name) + " = " + value->dump() + " is not supported, only " + expected.dump());
    }
  }

  void ignore(std::initializer_list<const char*> names) { known_.insert(names.begin(), names.end()); }
  void ignore(const json_fields& read) { known_.insert(read.known_.begin(), read.known_.end()); }

  /// The same object, of which nothing has been asked for.
  json_fields anew() const { return {object_, where_}; }
  /// What was asked for and is there, also as null.
  json found() const {
    json fields = json::object();
    for (const auto& [name, value] : object_.items()) {
      if (known_.contains(name)) fields[name] = value;
    }
    return fields;
  }

  /// The names of fields that were neither asked for nor ignored.
  std::vector<std::string> others() const {
    std::vector<std::string> names;
    for (const auto& [name, value] : object_.items()) {
      if (!known_.contains(name) && !value.is_null()) names.push_back(name);
    }
    return names;
  }
  void refuse_others() const {
    for (const std::string& name : others()) fail("unknown field " + name + " = " + object_.at(name).dump());
  }

  const std::string& where() const { return where_; }
  [[noreturn]] void fail(const std::string& message) const { throw input_error(where_ + ": " + message); }

 private:
  index_t count_of(const char* name, const json& value) const {
    if (!value.is_number_integer() || value.get<double>() < 1 || value.get<double>() > 1e9) {
      fail(std::string(name) + " = " + value.dump() + ", expected a positive integer");
    }
    return value.get<index_t>();
  }
  double number_of(const char* name, const json& value) const {
    if (!value.is_number() || !(value.get<double>() > 0)) {
      fail(std::string(name) + " = " + value.dump() + ", expected a positive number");
    }
    return value.get<double>();
  }
  std::string text_of(const char* name, const json& value) const {
    if (!value.is_string()) fail(std::string(name) + " = " + value.dump() + ", expected a string");
    return value.get<std::string>();
  }

  const json& object_;
  std::string where_;
  std::set<std::string, std::less<>> known_;
};

}  // namespace examples
