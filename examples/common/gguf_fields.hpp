#pragma once

#include <charconv>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <sbora/io/gguf/gguf_file.hpp>

#include "common/error.hpp"
#include "common/programs.hpp"

namespace examples {

using sbora::index_t;

/// Whether a model's path names a GGUF file: by its ending.
inline bool is_gguf(const std::filesystem::path& model) { return model.extension() == ".gguf"; }

/// The metadata of a GGUF file, with messages that say where it is.
///
/// Lifetime    refers to the file.
/// Errors      input_error that names file and key.
class gguf_fields {
 public:
  explicit gguf_fields(const sbora::gguf_file& file) : file_(file) {}

  const sbora::gguf_file& file() const { return file_; }
  std::string where() const { return file_.path().string(); }
  [[noreturn]] void fail(const std::string& what) const { throw input_error(where() + ": " + what); }

  bool has(const std::string& key) const { return static_cast<bool>(file_.value(key)); }

  index_t count(const std::string& key) const {
    const auto number = at(key).number<index_t>();
    if (!number || *number < 0) fail(key + " is not a count");
    return *number;
  }
  index_t count(const std::string& key, index_t otherwise) const { return has(key) ? count(key) : otherwise; }
  std::optional<index_t> optional_count(const std::string& key) const {
    return has(key) ? std::optional(count(key)) : std::nullopt;
  }

  /// Of a float the shortest decimal number that it stands for: what the model's own files had.
  double number(const std::string& key) const {
    const auto number = at(key).number<float>();
    if (!number) fail(key + " is not a number");
    char text[32];
    const auto written = std::to_chars(text, text + sizeof text, *number);
    double decimal = 0;
    std::from_chars(text, written.ptr, decimal);
    return decimal;
  }
  double number(const std::string& key, double otherwise) const { return has(key) ? number(key) : otherwise; }

  bool flag(const std::string& key, bool otherwise) const {
    if (!has(key)) return otherwise;
    const auto value = at(key).number<bool>();
    if (!value) fail(key + " is neither true nor false");
    return *value;
  }

  std::string text(const std::string& key) const {
    const auto text = at(key).string();
    if (!text) fail(key + " is not a text");
    return std::string(*text);
  }
  std::string text(const std::string& key, const char* otherwise) const { return has(key) ? text(key) : otherwise; }

  std::vector<std::string> texts(const std::string& key) const {
    const auto all = at(key).strings();
    if (!all) fail(key + " is not a list of texts");
    return {all->begin(), all->end()};
  }
  template <class T>
  std::vector<T> numbers(const std::string& key) const {
    const auto all = at(key).numbers<T>();
    if (!all) fail(key + " is not a list of numbers");
    return *all;
  }

 private:
  sbora::gguf_value at(const std::string& key) const {
    const sbora::gguf_value value = file_.value(key);
    if (!value) fail("no " + key + " in its metadata: the file is incomplete, fetch it again");
    return value;
  }

  const sbora::gguf_file& file_;
};

}  // namespace examples
