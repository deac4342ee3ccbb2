#include "text/bpe.hpp"

#include <limits>
#include <queue>
#include <tuple>
#include <utility>

#include "common/json_fields.hpp"
#include "common/utf8.hpp"

namespace llama {

namespace {

constexpr std::size_t nowhere = std::numeric_limits<std::size_t>::max();
constexpr token_id gone = -1;

/// A word as a linked list of tokens. A merge makes the left one the result and the right one `gone`.
struct symbol {
  token_id id;
  std::size_t left, right;
};

/// A merge that was possible when it was found. Whether it still is shows when its turn comes.
struct candidate {
  std::size_t rank, at;
  token_id result;
  bool operator>(const candidate& other) const { return std::tie(rank, at) > std::tie(other.rank, other.at); }
};

std::pair<std::string, std::string> parts_of(const nlohmann::json& merge, const json_fields& fields) {
  if (merge.is_string()) {  // "a b"
    const auto text = merge.get<std::string>();
    const std::size_t space = text.find(' ');
    if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos) {
      fields.fail("the merge \"" + text + "\" isn't two tokens");
    }
    return {text.substr(0, space), text.substr(space + 1)};
  }
  if (!merge.is_array() || merge.size() != 2 || !merge[0].is_string() || !merge[1].is_string()) {
    fields.fail("the merge " + merge.dump() + " isn't two tokens");
  }
  return {merge[0].get<std::string>(), merge[1].get<std::string>()};
}

}  // namespace

bpe::bpe(const nlohmann::json& description, const std::string& where) {
  json_fields fields(description, where);
  fields.require("type", "BPE");
  fields.require("dropout", 0.0);  // ids that differ at every call
  prefix_ = fields.text("continuing_subword_prefix", "");
  suffix_ = fields.text("end_of_word_suffix", "");
  fuse_unknown_ = fields.flag("fuse_unk", false);
  byte_fallback_ = fields.flag("byte_fallback", false);
  ignore_merges_ = fields.flag("ignore_merges", false);
  const nlohmann::json& vocab = fields.at("vocab");
  if (!vocab.is_object()) fields.fail("vocab isn't an object of tokens and ids");
  for (const auto& [token, id] : vocab.items()) {
    if (!id.is_number_integer()) fields.fail("the id of \"" + token + "\" in vocab isn't an integer");
    try {
      tokens_.add(token, id.get<std::int64_t>());
    } catch (const input_error& error) {
      fields.fail(error.what());
    }
  }
  if (fields.find("unk_token")) {
    const std::string token = fields.text("unk_token");
    unknown_ = tokens_.find(token);
    if (!unknown_) fields.fail("unk_token \"" + token + "\" isn't in the vocabulary");
  }
  for (std::size_t byte = 0; byte < 256; ++byte) {
    byte_ids_[byte] = tokens_.find(byte_token(static_cast<unsigned char>(byte)));
  }
  const nlohmann::json& merges = fields.at("merges");
  if (!merges.is_array()) fields.fail("merges isn't a list");
  merges_.reserve(merges.size());
  for (std::size_t rank = 0; rank < merges.size(); ++rank) {
    const auto [left, right] = parts_of(merges[rank], fields);
    try {
      add_merge(rank, left, right);
    } catch (const input_error& error) {
      fields.fail(error.what());
    }
  }
  fields.refuse_others();
}

void bpe::add_merge(std::size_t rank, const std::string& left, const std::string& right) {
  const auto a = tokens_.find(left);
  const auto b = tokens_.find(right);
  const auto both = right.size() < prefix_.size() ? std::nullopt : tokens_.find(left + right.substr(prefix_.size()));
  if (!a || !b || !both) {
    throw input_error("merge " + std::to_string(rank) + ", \"" + left + "\" and \"" + right +
                      "\", has a part or result that isn't in the vocabulary");
  }
  merges_[key(*a, *b)] = {rank, *both};
}

bool bpe::add_bytes(std::string_view character, token_ids& ids) const {
  for (const char byte : character) {
    if (!byte_ids_[static_cast<unsigned char>(byte)]) return false;
  }
  for (const char byte : character) ids.push_back(*byte_ids_[static_cast<unsigned char>(byte)]);
  return true;
}

/// Bytes of byte fallback overtake unknown characters that stand before them, as they do upstream.
token_ids bpe::characters(std::string_view word) const {
  token_ids ids;
  ids.reserve(word.size());
  bool unknown_waits = false;
  for (std::size_t at = 0; at < word.size();) {
    const std::size_t length = utf8_decode(word.substr(at)).length;
    const std::string_view character = word.substr(at, length);
    const bool first = at == 0;
    at += length;
    std::string marked;
    if (!first && !prefix_.empty()) marked = prefix_;
    const bool plain = marked.empty() && (at < word.size() || suffix_.empty());
    if (!plain) {
      marked += character;
      if (at == word.size()) marked += suffix_;
    }
    const std::string_view token = plain ? character : marked;
    if (const auto id = tokens_.find(token)) {
      if (std::exchange(unknown_waits, false)) ids.push_back(*unknown_);
      ids.push_back(*id);
    } else if (!(byte_fallback_ && add_bytes(token, ids)) && unknown_) {
      if (unknown_waits && !fuse_unknown_) ids.push_back(*unknown_);
      unknown_waits = true;
    }
  }
  if (unknown_waits) ids.push_back(*unknown_);
  return ids;
}

void bpe::encode(std::string_view word, token_ids& ids) const {
  if (ignore_merges_) {
    if (const auto whole = tokens_.find(word)) {
      ids.push_back(*whole);
      return;
    }
  }
  const token_ids start = characters(word);
  if (start.empty()) return;
  std::vector<symbol> symbols;
  symbols.reserve(start.size());
  for (const token_id id : start) symbols.push_back({id, symbols.size() - 1, symbols.size() + 1});
  symbols.back().right = nowhere;  // the first one's left is `nowhere` already: 0 - 1

  std::priority_queue<candidate, std::vector<candidate>, std::greater<>> queue;
  const auto merge_at = [&](std::size_t at) {
    return merges_.find(key(symbols[at].id, symbols[symbols[at].right].id));
  };
  const auto consider = [&](std::size_t at) {
    if (at == nowhere || symbols[at].right == nowhere) return;
    if (const auto found = merge_at(at); found != merges_.end()) {
      queue.push({found->second.rank, at, found->second.result});
    }
  };
  for (std::size_t i = 0; i < symbols.size(); ++i) consider(i);
  while (!queue.empty()) {
    const candidate best = queue.top();
    queue.pop();
    symbol& left = symbols[best.at];
    if (left.id == gone || left.right == nowhere) continue;
    // Upstream takes another pair at this place with the same result for this one.
    const auto found = merge_at(best.at);
    if (found == merges_.end() || found->second.result != best.result) continue;
    symbol& right = symbols[left.right];
    left.id = best.result;
    left.right = right.right;
    right.id = gone;
    if (left.right != nowhere) symbols[left.right].left = best.at;
    consider(left.left);
    consider(best.at);
  }
  for (std::size_t i = 0; i != nowhere; i = symbols[i].right) ids.push_back(symbols[i].id);
}

}  // namespace llama
