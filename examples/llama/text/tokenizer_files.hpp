#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "text/tokenizer.hpp"

namespace llama {

/// tokenizer.json, as the package tokenizers writes it.
std::unique_ptr<tokenizer> read_tokenizer_json(const std::filesystem::path& directory);

/// tokenizer.model, as transformers' LlamaTokenizer reads it.
std::unique_ptr<tokenizer> read_tokenizer_model(const std::filesystem::path& directory);

/// Why a file of this name can't be what it has to be, with the remedy; none where it looks right.
std::optional<std::string> why_not_json(const std::filesystem::path& path);
std::optional<std::string> why_not_sentencepiece(const std::filesystem::path& path);

}  // namespace llama
