#include "text/unigram.hpp"

#include <algorithm>
#include <limits>

#include "common/json_fields.hpp"
#include "common/utf8.hpp"

namespace llama {

unigram::unigram(const nlohmann::json& description, const std::string& where) {
  json_fields fields(description, where);
  fields.require("type", "Unigram");
  byte_fallback_ = fields.flag("byte_fallback", false);
  const nlohmann::json& vocab = fields.at("vocab");
  if (!vocab.is_array()) fields.fail("vocab isn't a list of tokens and scores");
  double least = std::numeric_limits<double>::infinity();
  for (const nlohmann::json& entry : vocab) {
    if (!entry.is_array() || entry.size() != 2 || !entry[0].is_string() || !entry[1].is_number()) {
      fields.fail("the entry " + entry.dump() + " of vocab isn't a token and its score");
    }
    const auto token = entry[0].get<std::string>();
    try {
      tokens_.add(token, std::ssize(scores_));
    } catch (const input_error& error) {
      fields.fail(error.what());
    }
    scores_.push_back(entry[1].get<double>());
    longest_ = std::max(longest_, token.size());
    least = std::min(least, scores_.back());
  }
  unknown_score_ = least - 10;  // SentencePiece's penalty
  if (const nlohmann::json* const id = fields.find("unk_id")) {
    if (!id->is_number_integer() || id->get<double>() < 0 || id->get<double>() >= static_cast<double>(vocab.size())) {
      fields.fail("unk_id = " + id->dump() + " is no id of the vocabulary");
    }
    unknown_ = id->get<token_id>();
  }
  if (!unknown_) fields.fail("unk_id is missing");
  fields.refuse_others();
}

std::vector<unigram::node> unigram::best_paths(std::string_view word) const {
  std::vector<node> ends(word.size() + 1);
  const auto offer = [&](std::size_t from, std::size_t to, token_id id, double score) {
    score += ends[from].score;
    if (ends[to].from == none || score > ends[to].score) ends[to] = {id, score, from};
  };
  for (std::size_t from = 0; from < word.size();) {
    const std::size_t one = utf8_decode(word.substr(from)).length;
    bool has_single = false;
    for (std::size_t to = from + 1; to <= std::min(word.size(), from + longest_); ++to) {
      if (const auto id = tokens_.find(word.substr(from, to - from))) {
        offer(from, to, *id, scores_[static_cast<std::size_t>(*id)]);
        has_single = has_single || to - from == one;
      }
    }
    if (!has_single) offer(from, from + one, *unknown_, unknown_score_);
    from += one;
  }
  return ends;
}

void unigram::add_unknown(std::string_view text, token_ids& ids) const {
  if (const auto id = tokens_.find(text)) {
    ids.push_back(*id);
    return;
  }
  token_ids bytes;
  for (const char c : text) {
    const auto id = byte_fallback_ ? tokens_.find(byte_token(static_cast<unsigned char>(c))) : std::nullopt;
    if (!id) {
      ids.push_back(*unknown_);
      return;
    }
    bytes.push_back(*id);
  }
  ids.insert(ids.end(), bytes.begin(), bytes.end());
}

/// Unknown characters in a row are one.
void unigram::encode(std::string_view word, token_ids& ids) const {
  const std::vector<node> ends = best_paths(word);
  std::vector<std::size_t> cuts;
  for (std::size_t to = word.size(); to > 0; to = ends[to].from) cuts.push_back(to);
  std::reverse(cuts.begin(), cuts.end());
  std::size_t from = 0;
  for (std::size_t i = 0; i < cuts.size(); ++i) {
    const token_id id = ends[cuts[i]].id;
    if (id != *unknown_) {
      ids.push_back(id);
    } else if (i + 1 < cuts.size() && ends[cuts[i + 1]].id == *unknown_) {
      continue;
    } else {
      add_unknown(word.substr(from, cuts[i] - from), ids);
    }
    from = cuts[i];
  }
}

}  // namespace llama
