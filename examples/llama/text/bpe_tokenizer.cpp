#include "text/bpe_tokenizer.hpp"

#include <map>
#include <utility>

#include "text/byte_alphabet.hpp"
#include "json_fields.hpp"
#include "json_file.hpp"
#include "text/special_tokens.hpp"
#include "text/utf8.hpp"

namespace llama {

bpe_tokenizer::bpe_tokenizer(const std::filesystem::path& directory) {
  const std::string path = (directory / "tokenizer.json").string();
  const json file = read_json(path);
  json_fields fields(file, path);
  fields.ignore({"version", "truncation", "padding"});  // whoever encodes says how long

  read_model(fields.at("model"), path + ": model");
  if (const json* const description = fields.find("normalizer")) {
    read_normaliser(*description, path + ": normalizer");
  }
  if (const json* const list = fields.find("added_tokens")) read_added_tokens(*list, path + ": added_tokens");
  pre_tokenizer_ = std::make_unique<pre_tokenizer>(fields.at("pre_tokenizer"), path + ": pre_tokenizer");
  if (const json* const description = fields.find("post_processor")) {
    read_post_processor(*description, path + ": post_processor");
  }
  if (const json* const decoder = fields.find("decoder")) {
    const std::string type = json_fields(*decoder, path + ": decoder").text("type");
    if (type != "ByteLevel") fields.fail("decoder of type " + type + " is not supported, only ByteLevel");
  }
  fields.refuse_others();

  const special_tokens special = read_special_tokens(directory, [&](const std::string& text) {
    const auto found = ids_.find(text);
    return found != ids_.end() ? std::optional(found->second) : std::nullopt;
  });
  bos_ = special.bos;
  eos_ = special.eos;
}

/// Tokens in the byte alphabet become the bytes they stand for; others are as they are.
void bpe_tokenizer::read_model(const json& description, const std::string& where) {
  json_fields fields(description, where);
  fields.require("type", "BPE");
  fields.require("dropout", 0.0);
  fields.require("continuing_subword_prefix", "");
  fields.require("end_of_word_suffix", "");
  fields.require("fuse_unk", false);
  fields.require("byte_fallback", false);  // SentencePiece's BPE as JSON; its tokenizer.model is supported
  const bool ignore_merges = fields.flag("ignore_merges", false);

  bpe::vocabulary vocabulary;
  for (const auto& [token, id] : fields.at("vocab").items()) {
    if (!id.is_number_integer()) fields.fail("the id of \"" + token + "\" in vocab isn't an integer");
    const auto bytes = byte_alphabet::to_bytes(token);
    ids_[token] = id.get<token_id>();
    set_bytes(ids_[token], bytes.value_or(token), where);
    if (bytes) vocabulary[*bytes] = ids_[token];
  }
  std::optional<token_id> unknown;
  if (fields.find("unk_token")) {
    const auto found = ids_.find(fields.text("unk_token"));
    if (found == ids_.end()) fields.fail("unk_token \"" + fields.text("unk_token") + "\" isn't in the vocabulary");
    unknown = found->second;
  }

  const auto part = [&](const std::string& token) {
    const auto bytes = byte_alphabet::to_bytes(token);
    if (!bytes) fields.fail("a merge has \"" + token + "\", which isn't in the byte-level alphabet");
    return *bytes;
  };
  bpe::merge_list merges;
  for (const json& merge : fields.at("merges")) {
    if (merge.is_string()) {  // "a b"
      const auto text = merge.get<std::string>();
      const std::size_t space = text.find(' ');
      if (space == std::string::npos) fields.fail("the merge \"" + text + "\" isn't two tokens");
      merges.emplace_back(part(text.substr(0, space)), part(text.substr(space + 1)));
    } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
      merges.emplace_back(part(merge[0].get<std::string>()), part(merge[1].get<std::string>()));
    } else {
      fields.fail("the merge " + merge.dump() + " isn't two tokens");
    }
  }
  fields.refuse_others();
  try {
    bpe_ = std::make_unique<bpe>(std::move(vocabulary), merges, ignore_merges, unknown);
  } catch (const input_error& error) {
    fields.fail(error.what());
  }
}

void bpe_tokenizer::read_added_tokens(const json& list, const std::string& where) {
  for (const json& token : list) {
    json_fields fields(token, where);
    const std::string content = fields.text("content");
    const json& id = fields.at("id");
    if (!id.is_number_integer()) fields.fail("the id of \"" + content + "\" isn't an integer");
    fields.require("single_word", false);
    fields.require("lstrip", false);
    fields.require("rstrip", false);
    const bool special = fields.flag("special", false);
    const bool normalise_first = fields.flag("normalized", !special);
    fields.refuse_others();

    ids_[content] = id.get<token_id>();
    set_bytes(ids_[content], special ? "" : byte_alphabet::to_bytes(content).value_or(content), where);
    if (normalise_first) {
      normalised_added_.add(normalised(content), ids_[content]);
    } else {
      raw_added_.add(content, ids_[content]);
    }
  }
}

void bpe_tokenizer::read_normaliser(const json& description, const std::string& where) {
  static const std::map<std::string, normal_form> forms = {
      {"NFC", normal_form::nfc}, {"NFD", normal_form::nfd}, {"NFKC", normal_form::nfkc}, {"NFKD", normal_form::nfkd}};
  json_fields fields(description, where);
  const std::string type = fields.text("type");
  if (type == "Sequence") {
    for (const json& part : fields.at("normalizers")) read_normaliser(part, where);
  } else if (const auto form = forms.find(type); form != forms.end()) {
    normal_forms_.push_back(form->second);
    normalise("", form->second);  // refused here where there is no ICU, not at the first text
  } else {
    fields.fail("type " + type + " is not supported, only NFC, NFD, NFKC, NFKD and Sequence");
  }
  fields.refuse_others();
}

void bpe_tokenizer::read_post_processor(const json& description, const std::string& where) {
  json_fields fields(description, where);
  const std::string type = fields.text("type");
  if (type == "Sequence") {
    for (const json& part : fields.at("processors")) read_post_processor(part, where);
  } else if (type == "TemplateProcessing") {
    const json& special = fields.at("special_tokens");
    bool text_seen = false;
    for (const json& item : fields.at("single")) {
      json_fields piece(item, where + ": single");
      if (piece.find("Sequence")) {
        if (std::exchange(text_seen, true)) fields.fail("single has the text twice");
        continue;
      }
      const std::string name = json_fields(piece.at("SpecialToken"), where + ": single").text("id");
      const json& ids = json_fields(json_fields(special, where).at(name.c_str()), where + ": " + name).at("ids");
      token_ids& side = text_seen ? after_ : before_;
      for (const json& id : ids) {
        if (!id.is_number_integer()) fields.fail("the ids of " + name + " aren't integers");
        side.push_back(id.get<token_id>());
      }
    }
  } else if (type != "ByteLevel") {  // which is about offsets alone
    fields.fail("type " + type + " is not supported, only TemplateProcessing, ByteLevel and Sequence");
  }
}

void bpe_tokenizer::set_bytes(token_id id, std::string text, const std::string& where) {
  if (id < 0 || id >= 1 << 24) throw input_error(where + ": no token can have the id " + std::to_string(id));
  const auto index = static_cast<std::size_t>(id);
  if (index >= bytes_.size()) bytes_.resize(index + 1);
  bytes_[index] = std::move(text);
}

std::string bpe_tokenizer::normalised(std::string_view text) const {
  std::string result(text);
  for (const normal_form form : normal_forms_) result = normalise(result, form);
  return result;
}

token_ids bpe_tokenizer::encode_text(std::string_view text) const {
  token_ids ids;
  const std::string valid = valid_utf8(text);
  for (const auto& [raw, raw_id] : raw_added_.find(valid)) {
    if (raw_id) {
      ids.push_back(*raw_id);
      continue;
    }
    const std::string normal = normalised(raw);
    for (const auto& [piece, id] : normalised_added_.find(normal)) {
      if (id) {
        ids.push_back(*id);
        continue;
      }
      for (const std::string& word : pre_tokenizer_->split(piece)) bpe_->encode(word, ids);
    }
  }
  return ids;
}

std::string bpe_tokenizer::bytes(token_id id) const {
  return id >= 0 && id < size() ? bytes_[static_cast<std::size_t>(id)] : std::string();
}

}  // namespace llama
