#pragma once

#include <deque>
#include <map>
#include <string>
#include <vector>

#include <sbora/io/gguf/gguf_names.hpp>

#include "weights/weight.hpp"

namespace llama {

/// Tensors in a GGUF file, mapped, under the names that Hugging Face has for them. Blocks are shown as the bytes of
/// their rows. Errors: sbora::error.
class gguf_tensors final : public tensor_source {
 public:
  explicit gguf_tensors(const std::filesystem::path& path);
  const sbora::tensor_view* find(const std::string& name) const override;
  std::optional<sbora::model_module> find_module(std::string_view module) const override;
  sbora::any_weight weight(std::string_view module) const override;
  std::string place(const std::string&) const override { return file_.path().string() + ": "; }
  const sbora::gguf_names* gguf() const override { return &names_; }
  /// Without rotary frequencies, which belong to the configuration. Those that Hugging Face doesn't have keep theirs.
  std::vector<std::string> names() const;

 private:
  const sbora::gguf_tensor* stored(std::string_view module) const;

  sbora::gguf_file file_;
  sbora::gguf_names names_;
  std::map<std::string, sbora::tensor_view, std::less<>> views_;
};

}  // namespace llama
