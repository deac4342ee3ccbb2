#include "text/byte_tokenizer.hpp"

#include <nlohmann/json.hpp>

#include "text/byte_alphabet.hpp"
#include "common/json_file.hpp"

namespace llama {

namespace {

constexpr const char* tokenizer_json = R"({
  "version": "1.0",
  "truncation": null,
  "padding": null,
  "added_tokens": [
    {"id": 256, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
     "special": true},
    {"id": 257, "content": "</s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
     "special": true}],
  "normalizer": null,
  "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false},
  "post_processor": {
    "type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
    "pair": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
             {"SpecialToken": {"id": "<s>", "type_id": 1}}, {"Sequence": {"id": "B", "type_id": 1}}],
    "special_tokens": {"<s>": {"id": "<s>", "ids": [256], "tokens": ["<s>"]}}},
  "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false},
  "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": {}, "merges": []}
})";

constexpr const char* tokenizer_config_json = R"({
  "tokenizer_class": "PreTrainedTokenizerFast",
  "bos_token": "<s>",
  "eos_token": "</s>",
  "clean_up_tokenization_spaces": false
}
)";

}  // namespace

byte_tokenizer::byte_tokenizer() {
  bos_ = begin;
  eos_ = end;
  before_ = {begin};
}

token_ids byte_tokenizer::encode_text(std::string_view text) const {
  token_ids ids;
  ids.reserve(text.size());
  for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
  return ids;
}

std::string byte_tokenizer::bytes(token_id id) const {
  return id >= 0 && id < begin ? std::string(1, static_cast<char>(id)) : std::string();
}

void byte_tokenizer::save(const std::filesystem::path& directory) const {
  nlohmann::json tokenizer_file = nlohmann::json::parse(tokenizer_json);
  nlohmann::json& vocab = tokenizer_file["model"]["vocab"];
  for (int byte = 0; byte < 256; ++byte) {
    vocab[byte_alphabet::character(static_cast<unsigned char>(byte))] = byte;
  }
  write_file(directory / "tokenizer.json", tokenizer_file.dump(2) + "\n");
  write_file(directory / "tokenizer_config.json", tokenizer_config_json);
}

}  // namespace llama
