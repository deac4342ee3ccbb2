#include "text/gguf_tokenizer.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <string_view>
#include <tuple>
#include <unordered_map>

#include <nlohmann/json.hpp>

#include "common/gguf_fields.hpp"
#include "text/bpe.hpp"
#include "text/descriptions.hpp"
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
  const json split = {
      {"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}, {"invert", false}};
  return sequence("pretokenizers", json::array({split, byte_level(false)}));
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
      {"smollm", json(),
       sequence("pretokenizers", json::array({{{"type", "Digits"}, {"individual_digits", true}}, byte_level(true)})),
       false, false},
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

/// The vocabulary as the file has it.
struct token_list {
  std::vector<std::string> tokens;
  json ids = json::object();  ///< by token

  explicit token_list(const gguf_fields& fields) : tokens(fields.texts("tokenizer.ggml.tokens")) {
    for (std::size_t i = 0; i < tokens.size(); ++i) ids[tokens[i]] = i;
  }
};

/// Byte-level BPE. Returns whether texts begin with the first token where the file doesn't say.
bool add_byte_level(pipeline_tokenizer::parts& parts, const gguf_fields& fields, token_list& list,
                    const std::optional<token_id>& unknown) {
  const split_kind kind = kind_of(fields);
  const std::string where = parts.where + ": tokenizer";
  json model = {{"type", "BPE"},
                {"vocab", std::move(list.ids)},
                {"merges", fields.texts("tokenizer.ggml.merges")},
                {"ignore_merges", kind.ignore_merges}};
  if (unknown) model["unk_token"] = list.tokens[static_cast<std::size_t>(*unknown)];
  parts.model = std::make_unique<bpe>(model, where);
  if (!kind.normaliser.is_null()) parts.normal = normaliser(kind.normaliser, where);
  parts.words = pre_tokenizer(kind.words, where);
  parts.decoder = token_decoder(byte_level(true), where);
  return kind.add_bos;
}

/// The merges of a SentencePiece vocabulary, which has scores in their place: every way to write a token as two others,
/// the highest score first. Equals are in the order that transformers gives them: long beginnings, long ends, then by
/// the ids of the token and of its parts.
json merges_of(const token_list& list, const std::vector<float>& scores) {
  struct merge {
    float score;
    std::size_t left_length, right_length;  // in characters
    std::size_t result, left, right;        // ids
    bool operator<(const merge& m) const {
      return std::tuple(m.score, m.left_length, m.right_length, result, left, right) <
             std::tuple(score, left_length, right_length, m.result, m.left, m.right);
    }
  };
  std::unordered_map<std::string_view, std::size_t> ids;
  for (std::size_t i = 0; i < list.tokens.size(); ++i) ids[list.tokens[i]] = i;
  const auto begins_character = [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; };
  std::vector<merge> merges;
  for (std::size_t i = 0; i < list.tokens.size(); ++i) {
    const std::string_view token = list.tokens[i];
    const auto length = static_cast<std::size_t>(std::ranges::count_if(token, begins_character));
    std::size_t before = 0;  // characters
    for (std::size_t at = 0; at < token.size(); ++at) {
      if (!begins_character(token[at])) continue;
      const auto left = ids.find(token.substr(0, at)), right = ids.find(token.substr(at));
      if (at > 0 && left != ids.end() && right != ids.end()) {
        merges.push_back({scores[i], before, length - before, i, left->second, right->second});
      }
      ++before;
    }
  }
  std::ranges::sort(merges, std::less<>());
  json result = json::array();
  for (const merge& m : merges) result.push_back({list.tokens[m.left], list.tokens[m.right]});
  return result;
}

/// SentencePiece, which LLaMA 1 and 2 and Mistral have. Returns as add_byte_level.
bool add_sentencepiece(pipeline_tokenizer::parts& parts, const gguf_fields& fields, token_list& list) {
  const char* const key = "tokenizer.ggml.scores";
  const std::vector<float> scores = fields.numbers<float>(key);
  if (scores.size() != list.tokens.size())
    fields.fail(std::string(key) + " has not as many entries as there are tokens");
  if (!std::ranges::all_of(scores, [](float score) { return std::isfinite(score); })) {
    fields.fail(std::string(key) + " has one that is not finite");
  }
  const std::string where = parts.where + ": tokenizer";
  json merges = merges_of(list, scores);
  parts.model = std::make_unique<bpe>(json{{"type", "BPE"},
                                           {"vocab", std::move(list.ids)},
                                           {"merges", std::move(merges)},
                                           {"fuse_unk", true},
                                           {"byte_fallback", true}},
                                      where);
  const bool begins_with_blank = fields.flag("tokenizer.ggml.add_space_prefix", true);
  if (begins_with_blank && fields.text("general.architecture") == "phi3") {  // as its tokenizer.json has it
    parts.normal = normaliser(prepended_blank(), where);
  } else {
    parts.words = pre_tokenizer(metaspace(begins_with_blank ? "first" : "never"), where);
  }
  parts.decoder = token_decoder(sentencepiece_decoder(begins_with_blank), where);
  return true;
}

}  // namespace

std::unique_ptr<tokenizer> read_gguf_tokenizer(const std::filesystem::path& path) {
  const auto file = sbora::gguf_file::open(path);
  const gguf_fields fields(file);
  const std::string model = fields.text("tokenizer.ggml.model");
  if (model != "gpt2" && model != "llama") {
    fields.fail("tokenizer.ggml.model = \"" + model +
                "\" is not supported, only gpt2, byte-level BPE, and llama, SentencePiece");
  }
  token_list list(fields);
  const std::vector<std::string>& tokens = list.tokens;
  const auto types = fields.numbers<std::int32_t>("tokenizer.ggml.token_type");
  if (types.size() != tokens.size())
    fields.fail("tokenizer.ggml.token_type has not as many entries as there are tokens");

  pipeline_tokenizer::parts parts;
  parts.where = path.string();
  token_sources sources;
  sources.tokenizer_class = model == "gpt2" ? "GPT2Tokenizer" : "LlamaTokenizer";
  for (std::size_t i = 0; i < tokens.size(); ++i) {
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
  if (fields.flag("tokenizer.ggml.add_eos_token", false)) fields.fail("tokenizer.ggml.add_eos_token is not supported");

  const bool usually_begins =
      model == "gpt2" ? add_byte_level(parts, fields, list, unknown) : add_sentencepiece(parts, fields, list);
  sources.add_bos = fields.flag("tokenizer.ggml.add_bos_token", usually_begins);
  parts.has_template = true;
  if (*sources.add_bos && sources.bos_id) {
    parts.post_processor = template_of(tokens[static_cast<std::size_t>(*sources.bos_id)], *sources.bos_id);
  }
  return std::make_unique<pipeline_tokenizer>(std::move(parts), sources);
}

}  // namespace llama
