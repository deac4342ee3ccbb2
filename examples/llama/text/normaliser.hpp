#pragma once

#include <functional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace llama {

/// tokenizer.json's "normalizer": what is done to a text before it is cut into words.
///
/// Errors      input_error that names a type that isn't supported.
class normaliser {
 public:
  normaliser() = default;  ///< changes nothing
  normaliser(const nlohmann::json& description, const std::string& where) { add(description, where); }

  std::string operator()(std::string text) const;

  /// As above; clears `at_start` where the text's first character was taken away: what comes first now isn't the
  /// beginning of the whole text any more.
  std::string operator()(std::string text, bool& at_start) const;

 private:
  using step = std::function<void(std::string& text, bool& at_start)>;
  void add(const nlohmann::json& description, const std::string& where);

  std::vector<step> steps_;
};

}  // namespace llama
