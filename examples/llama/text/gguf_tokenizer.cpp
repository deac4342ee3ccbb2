#include "text/gguf_tokenizer.hpp"

#include <nlohmann/json.hpp>

#include "common/gguf_fields.hpp"
#include "text/bpe.hpp"
#include "text/pipeline_tokenizer.hpp"

namespace llama {

namespace {

using nlohmann::json;

enum token_type : std::int32_t { control = 3, user_defined = 4 };  // which text is searched for before it is split

json byte_level(bool use_regex) {
  return {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", use_regex}};
}

/// A pattern, then bytes.
json split_by(const std::string& pattern) {
  return {
      {"type", "Sequence"},
      {"pretokenizers",
       json::array({{{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}, {"invert", false}},
                    byte_level(false)})}};
}

/// Of GPT-4's kind: a number is cut into this.
std::string gpt4_pattern(const char* number) {
  return R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|)" + std::string(number) +
         R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
}

/// How a tokenizer splits text, by tokenizer.ggml.pre, in the words of tokenizer.json.
struct split_kind {
  const char* name;
  json normaliser, words;
  bool add_bos;        ///< where the file doesn't say
  bool ignore_merges;  ///< a word that is a token is one, whatever the merges
};

split_kind kind_of(const gguf_fields& fields) {
  const split_kind kinds[] = {
      {"gpt-2", json(), byte_level(true), false, false},
      {"smollm",
       json(),
       {{"type", "Sequence"},
        {"pretokenizers", json::array({{{"type", "Digits"}, {"individual_digits", true}}, byte_level(true)})}},
       false,
       false},
      {"llama-bpe", json(), split_by(gpt4_pattern(R"(\p{N}{1,3})")), true, true},
      {"qwen2", {{"type", "NFC"}}, split_by(gpt4_pattern(R"(\p{N})")), false, false}};
  const std::string name = fields.text("tokenizer.ggml.pre");
  std::string known;
  for (const split_kind& each : kinds) {
    if (name == each.name) return each;
    known += (known.empty() ? "" : ", ") + std::string(each.name);
  }
  fields.fail("tokenizer.ggml.pre = \"" + name + "\" is not supported, only " + known);
}

/// Whether a text begins with the first token, as a tokenizer.json says it.
json template_of(const std::string& begin, token_id id) {
  return {{"type", "TemplateProcessing"},
          {"single", json::array({{{"SpecialToken", {{"id", begin}, {"type_id", 0}}}},
                                  {{"Sequence", {{"id", "A"}, {"type_id", 0}}}}})},
          {"special_tokens", {{begin, {{"id", begin}, {"ids", json::array({id})}, {"tokens", json::array({begin})}}}}}};
}

}  // namespace

std::unique_ptr<tokenizer> read_gguf_tokenizer(const std::filesystem::path& path) {
  const auto file = sbora::gguf_file::open(path);
  const gguf_fields fields(file);
  if (const std::string model = fields.text("tokenizer.ggml.model"); model != "gpt2") {
    fields.fail("tokenizer.ggml.model = \"" + model + "\" is not supported, only gpt2, byte-level BPE");
  }
  const split_kind kind = kind_of(fields);
  const std::vector<std::string> tokens = fields.texts("tokenizer.ggml.tokens");
  const auto types = fields.numbers<std::int32_t>("tokenizer.ggml.token_type");
  if (types.size() != tokens.size())
    fields.fail("tokenizer.ggml.token_type has not as many entries as there are tokens");

  pipeline_tokenizer::parts parts;
  parts.where = path.string();
  json vocabulary = json::object();
  token_sources sources;
  sources.tokenizer_class = "GPT2Tokenizer";
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    vocabulary[tokens[i]] = i;
    if (types[i] != control && types[i] != user_defined) continue;
    const added_token token{.content = tokens[i], .normalized = false, .special = types[i] == control};
    sources.added.push_back({token, static_cast<token_id>(i), "tokenizer.ggml.tokens"});
  }
  parts.added = sources.added;
  const auto special = [&](const char* key, const char* role) -> std::optional<token_id> {
    const std::string name = std::string("tokenizer.ggml.") + key + "_token_id";
    const std::optional<index_t> id = fields.optional_count(name);
    if (!id) return std::nullopt;
    if (*id >= std::ssize(tokens)) fields.fail(name + " = " + std::to_string(*id) + " is no token's");
    sources.special.push_back(
        {role, {.content = tokens[static_cast<std::size_t>(*id)], .normalized = false, .special = true}});
    return static_cast<token_id>(*id);
  };
  sources.bos_id = special("bos", "bos_token");
  sources.eos_id = special("eos", "eos_token");
  const auto unknown = special("unknown", "unk_token");
  special("padding", "pad_token");
  sources.add_bos = fields.flag("tokenizer.ggml.add_bos_token", kind.add_bos);
  if (fields.flag("tokenizer.ggml.add_eos_token", false)) fields.fail("tokenizer.ggml.add_eos_token is not supported");

  const std::string where = path.string() + ": tokenizer";
  json model = {{"type", "BPE"},
                {"vocab", std::move(vocabulary)},
                {"merges", fields.texts("tokenizer.ggml.merges")},
                {"ignore_merges", kind.ignore_merges}};
  if (unknown) model["unk_token"] = tokens[static_cast<std::size_t>(*unknown)];
  parts.model = std::make_unique<bpe>(model, where);
  if (!kind.normaliser.is_null()) parts.normal = normaliser(kind.normaliser, where);
  parts.words = pre_tokenizer(kind.words, where);
  parts.decoder = token_decoder(byte_level(true), where);
  parts.has_template = true;
  if (*sources.add_bos && sources.bos_id) {
    parts.post_processor = template_of(tokens[static_cast<std::size_t>(*sources.bos_id)], *sources.bos_id);
  }
  return std::make_unique<pipeline_tokenizer>(std::move(parts), sources);
}

}  // namespace llama
