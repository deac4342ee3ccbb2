#pragma once

#include <filesystem>
#include <string>

#include "model/config.hpp"
#include "program/session.hpp"
#include "data/text_windows.hpp"
#include "text/tokenizer.hpp"

namespace llama {

/// The byte-level LLaMA of the embedded cycle: 2.3 million weights, all its matrices of 192 or 512 sides.
model_config embedded_config();

/// What the base model learns, and what is measured for how much of it is forgotten: the last tenth of the
/// text, which is never trained on.
class base_text {
 public:
  /// --base_data, joined; generated word problems where none is named. Errors: input_error.
  explicit base_text(const options& set);

  /// What it is, in a few words.
  const std::string& name() const { return name_; }
  std::size_t bytes() const { return text_.size(); }
  std::string fingerprint() const;
  token_ids training() const;
  /// Windows over the last tenth, up to about 16000 tokens.
  text_windows held_out() const;

 private:
  std::string name_;
  std::string text_;
};

/// Trains the embedded base model, or finds it in the cache, where it lies under all that decides its bits. The
/// folder returned is one that --base_model takes. Stopped by a signal, it keeps a checkpoint, from which the
/// next call goes on, and returns nothing but sets `signal`.
std::filesystem::path make_base(const base_text& text, const session& with, int& signal);

}  // namespace llama
