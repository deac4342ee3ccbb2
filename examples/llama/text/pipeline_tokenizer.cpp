#include "text/pipeline_tokenizer.hpp"

#include <algorithm>
#include <functional>
#include <tuple>
#include <utility>

#include "common/json_fields.hpp"
#include "common/utf8.hpp"

namespace llama {

namespace {

std::string quoted(const std::string& text) { return "\"" + text + "\""; }

}  // namespace

pipeline_tokenizer::pipeline_tokenizer(parts made_of, const token_sources& sources) : parts_(std::move(made_of)) {
  notes_ = parts_.notes;
  size_ = parts_.model->size();
  for (const auto& list : {std::cref(parts_.added), std::cref(sources.added)}) {
    for (const token_sources::numbered& each : list.get()) {
      if (!each.token.content.empty()) add(each.token, each.id, each.file);
    }
  }
  for (const token_sources::named& each : sources.special) {
    if (const auto found = added_.find(each.token.content); found != added_.end()) {
      found->second.token.special = true;
    } else {
      const bool is_new = !id_of(each.token.content);
      const token_id id = add(each.token, std::nullopt, "");
      if (is_new && !each.role.empty()) {
        notes_.push_back(parts_.where + ": " + each.role + " " + quoted(each.token.content) +
                         " is in no vocabulary; it becomes the new token " + std::to_string(id));
      }
    }
  }
  for (const token_sources::named& each : sources.class_special) {
    if (id_of(each.token.content) && !added_.contains(each.token.content)) add(each.token, std::nullopt, "");
  }
  build_finders(sources.split_special);
  choose_special(sources);
  choose_template(sources);
}

/// Its id is the model's, else the next that is free, whatever a file says: as tokenizers does it.
token_id pipeline_tokenizer::add(const added_token& token, std::optional<token_id> written, const std::string& file) {
  token_id id = 0;
  if (const auto existing = id_of(token.content)) {
    id = *existing;
  } else {
    id = static_cast<token_id>(parts_.model->count());
    if (!added_by_id_.empty() && added_by_id_.rbegin()->first >= id) id = added_by_id_.rbegin()->first + 1;
  }
  if (written && *written != id) {
    notes_.push_back(parts_.where + ": " + quoted(token.content) + " has the id " + std::to_string(*written) + " in " +
                     file + ", but as transformers counts it becomes " + std::to_string(id));
  }
  added_[token.content] = {token, id};
  added_by_id_[id] = token.content;
  size_ = std::max<index_t>(size_, id + 1);
  return id;
}

void pipeline_tokenizer::build_finders(bool split_special) {
  raw_ = added_token_finder(split_special);
  normalised_ = added_token_finder(split_special);
  for (const auto& [content, each] : added_) {
    if (each.token.special) special_.insert(content);
    if (each.token.normalized) {
      added_by_id_[each.id] = parts_.normal(content);  // decoding undoes what normalisation did
      normalised_.add(added_by_id_[each.id], each.token, each.id);
    } else {
      raw_.add(content, each.token, each.id);
    }
  }
}

/// What the files name, else config.json's ids, else what the class or the model itself has.
void pipeline_tokenizer::choose_special(const token_sources& sources) {
  const auto choose = [&](const std::string& role, std::optional<token_id> of_config) -> std::optional<token_id> {
    for (const token_sources::named& each : sources.special) {
      if (each.role == role) return id_of(each.token.content);
    }
    if (of_config) return of_config;
    for (const token_sources::named& each : sources.class_special) {
      if (each.role == role) return id_of(each.token.content);
    }
    return std::nullopt;
  };
  bos_ = choose("bos_token", sources.bos_id);
  eos_ = choose("eos_token", sources.eos_id);
}

/// As the transformers that wrote the files reads them: 5 goes by the template of a tokenizer.json alone, 4 lets
/// LLaMA's class make another.
void pipeline_tokenizer::choose_template(const token_sources& sources) {
  const bool has_template = parts_.has_template;
  if (!parts_.post_processor.is_null()) read_post_processor(parts_.post_processor, parts_.where + ": post_processor");
  if (!sources.is_llama_class()) return;
  const auto of_class = [&](bool bos_unsaid) {
    const auto around = [](bool wanted, std::optional<token_id> id) {
      return wanted && id ? token_ids{*id} : token_ids();
    };
    return std::pair(around(sources.add_bos.value_or(bos_unsaid), bos_), around(sources.add_eos.value_or(false), eos_));
  };
  const auto by_4 = of_class(true);
  const auto by_5 = has_template ? std::pair(before_, after_) : of_class(false);
  std::tie(before_, after_) = sources.by_transformers_5 ? by_5 : by_4;
  if (by_4 == by_5) return;
  const auto described = [](const std::pair<token_ids, token_ids>& around) {
    return std::to_string(around.first.size()) + " before and " + std::to_string(around.second.size()) + " after";
  };
  notes_.push_back(parts_.where + ": special tokens around a text (add_bos_token, add_eos_token): transformers 4 " +
                   "puts " + described(by_4) + ", transformers 5 " + described(by_5) + "; read as by transformers " +
                   (sources.by_transformers_5 ? "5, which wrote these files" : "4"));
}

void pipeline_tokenizer::read_post_processor(const nlohmann::json& description, const std::string& where) {
  json_fields fields(description, where);
  const std::string type = fields.text("type");
  if (type == "Sequence") {
    for (const nlohmann::json& part : fields.at("processors")) read_post_processor(part, where);
  } else if (type == "TemplateProcessing") {
    const nlohmann::json& special = fields.at("special_tokens");
    bool text_seen = false;
    for (const nlohmann::json& item : fields.at("single")) {
      json_fields piece(item, where + ": single");
      if (piece.find("Sequence")) {
        if (std::exchange(text_seen, true)) fields.fail("single has the text twice");
        continue;
      }
      const std::string name = json_fields(piece.at("SpecialToken"), where + ": single").text("id");
      const nlohmann::json& token = json_fields(special, where).at(name.c_str());
      const nlohmann::json& ids = json_fields(token, where + ": " + name).at("ids");
      token_ids& side = text_seen ? after_ : before_;
      for (const nlohmann::json& id : ids) {
        if (!id.is_number_integer()) fields.fail("the ids of " + name + " aren't integers");
        side.push_back(id.get<token_id>());
      }
    }
    if (!text_seen) fields.fail("single has no text");
  } else if (type != "ByteLevel") {  // which is about offsets alone
    fields.fail("type " + type + " is not supported, only TemplateProcessing, ByteLevel and Sequence");
  }
}

std::optional<token_id> pipeline_tokenizer::id_of(const std::string& token) const {
  if (const auto found = added_.find(token); found != added_.end()) return found->second.id;
  return parts_.model->id_of(token);
}

/// None for special tokens, which are known by their text, and for unknown ids.
std::optional<std::string> pipeline_tokenizer::printable(token_id id) const {
  const auto found = added_by_id_.find(id);
  auto token = found != added_by_id_.end() ? std::optional(found->second) : parts_.model->token_of(id);
  return token && special_.contains(*token) ? std::nullopt : token;
}

token_ids pipeline_tokenizer::encode_text(std::string_view text) const {
  token_ids ids;
  const std::string valid = valid_utf8(text);
  for (const auto& [raw_range, raw_id] : raw_.find(valid)) {
    if (raw_id) {
      ids.push_back(*raw_id);
      continue;
    }
    bool at_start = raw_range.begin == 0;
    const std::string normal = parts_.normal(std::string(raw_range.of(valid)), at_start);
    for (const auto& [range, id] : normalised_.find(normal)) {
      if (id) {
        ids.push_back(*id);
        continue;
      }
      for (const word& each : parts_.words.split({std::string(range.of(normal)), at_start && range.begin == 0})) {
        parts_.model->encode(each.text, ids);
      }
    }
  }
  return ids;
}

std::string pipeline_tokenizer::decode(std::span<const token_id> ids) const {
  std::vector<std::string> tokens;
  for (const token_id id : ids) {
    if (auto token = printable(id)) tokens.push_back(std::move(*token));
  }
  return parts_.decoder.text(std::move(tokens));
}

std::string pipeline_tokenizer::bytes(token_id id) const {
  const auto token = printable(id);
  return token ? parts_.decoder.bytes(*token) : std::string();
}

}  // namespace llama
