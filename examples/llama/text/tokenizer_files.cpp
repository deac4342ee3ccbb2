#include "text/tokenizer_files.hpp"

#include <algorithm>
#include <string_view>
#include <utility>

#include "common/gguf_fields.hpp"
#include "common/json_fields.hpp"
#include "common/json_file.hpp"
#include "text/bpe.hpp"
#include "text/descriptions.hpp"
#include "text/gguf_tokenizer.hpp"
#include "text/pipeline_tokenizer.hpp"
#include "text/sentencepiece_model.hpp"
#include "text/unigram.hpp"

namespace llama {

namespace {

using nlohmann::json;
using std::filesystem::path;

std::unique_ptr<text_model> read_model(const json& description, const std::string& where) {
  json_fields fields(description, where);
  const std::string type = fields.text("type", "BPE");  // files of 2019 don't say it
  if (type == "BPE") return std::make_unique<bpe>(description, where);
  if (type == "Unigram") return std::make_unique<unigram>(description, where);
  fields.fail("type = \"" + type + "\" is not supported, only BPE and Unigram");
}

/// The part of that name, or one made of nothing.
template <class Part>
Part part_of(json_fields& fields, const char* name) {
  const json* const description = fields.find(name);
  return description ? Part(*description, fields.where() + ": " + name) : Part();
}

/// A line "dGhl 1820": a token's bytes in base 64 and its rank.
bool is_tiktoken(std::string_view text) {
  const std::string_view line = text.substr(0, text.find('\n'));
  const std::size_t space = line.find(' ');
  if (space == std::string_view::npos || space == 0 || space % 4 != 0 || space + 1 == line.size()) return false;
  const auto is_base64 = [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '/' ||
           c == '=';
  };
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  const std::string_view rank = line.substr(space + 1, line.substr(space + 1).find('\r'));
  return std::ranges::all_of(line.substr(0, space), is_base64) && std::ranges::all_of(rank, is_digit);
}

/// What a file holds that isn't a tokenizer of either kind, and what to do about it.
std::optional<std::string> other_content(std::string_view text) {
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos) return "is empty; download it again";
  if (text.starts_with("version https://git-lfs.github.com/spec/")) {
    return "is a Git LFS pointer, not the file itself; run `git lfs pull` in its folder, or download the file";
  }
  const std::string_view begin = text.substr(text.find_first_not_of(" \t\r\n"), 15);
  if (begin.starts_with("<!DOCTYPE") || begin.starts_with("<!doctype") || begin.starts_with("<html")) {
    return "is a web page, not the file itself; download the file (on the Hub: the link \"raw\" or \"download\")";
  }
  if (is_tiktoken(text)) {
    return "is a tiktoken file, as LLaMA-3's original distribution has it, which is not supported; put the "
           "tokenizer.json of the model's Hugging Face repository beside it";
  }
  return std::nullopt;
}

/// What transformers makes of "legacy": a blank before every text between added tokens, or only where a text begins.
void add_blanks(pipeline_tokenizer::parts& parts, const token_sources& sources) {
  const bool legacy = sources.legacy.value_or(!sources.by_transformers_5);
  if (!legacy) {
    parts.words = pre_tokenizer(metaspace("first"), parts.where);
  } else if (sources.by_transformers_5) {
    parts.words = pre_tokenizer(metaspace("always"), parts.where);
  } else {
    parts.normal = normaliser(prepended_blank(), parts.where);
  }
}

/// Whether transformers 5, whose LlamaTokenizer takes only vocabulary and merges from a file, reads it otherwise.
bool is_rebuilt_by_5(const json& file, const token_sources& sources) {
  const bool byte_fallback = file.at("model").value("byte_fallback", json()) == true;
  if (sources.tokenizer_class != "LlamaTokenizer" || !byte_fallback) return false;
  const json words = file.value("pre_tokenizer", json());
  return !file.value("normalizer", json()).is_null() ||
         words != metaspace(sources.legacy.value_or(false) ? "always" : "first");
}

}  // namespace

std::unique_ptr<tokenizer> read_tokenizer_json(const path& directory) {
  const std::string file = (directory / "tokenizer.json").string();
  const json object = read_json(file);
  json_fields fields(object, file);
  fields.ignore({"version", "truncation", "padding"});  // whoever encodes says how long
  pipeline_tokenizer::parts parts;
  parts.where = file;
  parts.model = read_model(fields.at("model"), file + ": model");
  parts.normal = part_of<normaliser>(fields, "normalizer");
  parts.words = part_of<pre_tokenizer>(fields, "pre_tokenizer");
  parts.decoder = part_of<token_decoder>(fields, "decoder");
  if (const json* const description = fields.find("post_processor")) parts.post_processor = *description;
  parts.has_template = !parts.post_processor.is_null();
  const json* const added = fields.find("added_tokens");
  fields.refuse_others();
  if (added) {
    if (!added->is_array()) fields.fail("added_tokens isn't a list");
    for (const json& token : *added) {
      json_fields entry(token, file + ": added_tokens");
      const json& id = entry.at("id");
      if (!id.is_number_integer()) entry.fail("the id of \"" + entry.text("content") + "\" isn't an integer");
      parts.added.push_back({read_added_token(token, file + ": added_tokens"), id.get<token_id>(), "added_tokens"});
    }
  }
  const token_sources sources = read_token_sources(directory, added);
  if (is_rebuilt_by_5(object, sources)) {
    parts.notes.push_back(file +
                          ": its normalizer and pre_tokenizer are used, as in transformers 4; the "
                          "LlamaTokenizer of transformers 5 puts its own in their place, which gives other ids "
                          "around special tokens");
  }
  return std::make_unique<pipeline_tokenizer>(std::move(parts), sources);
}

std::unique_ptr<tokenizer> read_tokenizer_model(const path& directory) {
  pipeline_tokenizer::parts parts;
  parts.where = (directory / "tokenizer.model").string();
  auto model = std::make_unique<sentencepiece_model>(parts.where);
  token_sources sources = read_token_sources(directory, nullptr, "LlamaTokenizer");
  if (!sources.bos_id) sources.bos_id = model->bos();
  if (!sources.eos_id) sources.eos_id = model->eos();
  for (const sentencepiece_model::piece& piece : model->control_pieces()) {
    parts.added.push_back({piece.token, piece.id, "tokenizer.model"});
  }
  if (model->wants_prefix()) add_blanks(parts, sources);
  parts.decoder = token_decoder(sentencepiece_decoder(model->wants_prefix()), parts.where);
  parts.model = std::move(model);
  return std::make_unique<pipeline_tokenizer>(std::move(parts), sources);
}

std::optional<std::string> why_not_json(const path& file) {
  const std::string text = read_file(file);
  if (const auto other = other_content(text)) return file.string() + " " + *other;
  return std::nullopt;  // whatever else is wrong with it reading it says
}

std::optional<std::string> why_not_sentencepiece(const path& file) {
  const std::string text = read_file(file);
  if (const auto other = other_content(text)) return file.string() + " " + *other;
  if (text.starts_with("{")) return file.string() + " is JSON, not a SentencePiece model; is it a tokenizer.json?";
  return std::nullopt;
}

std::unique_ptr<tokenizer> make_tokenizer(const path& directory) {
  if (is_gguf(directory)) return read_gguf_tokenizer(directory);
  struct kind {
    path file;
    std::optional<std::string> (*why_not)(const path&);
    std::unique_ptr<tokenizer> (*read)(const path&);
  };
  const kind kinds[] = {{directory / "tokenizer.json", why_not_json, read_tokenizer_json},
                        {directory / "tokenizer.model", why_not_sentencepiece, read_tokenizer_model}};
  std::vector<std::string> refused;
  const kind* good = nullptr;
  for (const kind& each : kinds) {
    if (!exists(each.file)) continue;
    if (auto reason = each.why_not(each.file)) {
      refused.push_back(std::move(*reason));
    } else if (!good) {
      good = &each;
    }
  }
  if (good) {
    auto result = good->read(directory);
    const std::string used = "; " + good->file.string() + " is used";
    for (const std::string& reason : refused) result->notes_.push_back(reason + used);
    return result;
  }
  if (!refused.empty()) {
    std::string message = refused.front();
    for (std::size_t i = 1; i < refused.size(); ++i) message += "\n" + refused[i];
    throw input_error(message);
  }
  std::string message = directory.string() + ": neither tokenizer.json nor tokenizer.model is there";
  if (exists(directory / "vocab.json") && exists(directory / "merges.txt")) {
    message +=
        "; vocab.json and merges.txt are not read: "
        "AutoTokenizer.from_pretrained(folder).save_pretrained(folder) makes a tokenizer.json of them";
  }
  throw input_error(message);
}

}  // namespace llama
