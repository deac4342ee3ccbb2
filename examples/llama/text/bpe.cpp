#include "text/bpe.hpp"

#include <functional>
#include <limits>
#include <queue>
#include <tuple>

#include "input_error.hpp"

namespace llama {

namespace {

constexpr std::size_t nowhere = std::numeric_limits<std::size_t>::max();

/// A word as a linked list of tokens. A merge makes the left one the result and empties the right one.
struct symbol {
  token_id id;
  std::size_t left, right;
};

/// A merge that was possible when it was found. Its tokens tell whether it still is when its turn comes.
struct candidate {
  std::size_t rank, at;
  token_id left, right, result;
  bool operator>(const candidate& other) const {
    return std::tie(rank, at) > std::tie(other.rank, other.at);
  }
};

}  // namespace

bpe::bpe(vocabulary ids, const merge_list& merges, bool ignore_merges, std::optional<token_id> unknown)
    : ids_(std::move(ids)), ignore_merges_(ignore_merges) {
  for (std::size_t byte = 0; byte < 256; ++byte) {
    const auto found = ids_.find(std::string(1, static_cast<char>(byte)));
    byte_ids_[byte] = found != ids_.end() ? found->second : unknown.value_or(none);
  }
  merges_.reserve(merges.size());
  for (std::size_t rank = 0; rank < merges.size(); ++rank) {
    const auto& [left, right] = merges[rank];
    const auto a = ids_.find(left);
    const auto b = ids_.find(right);
    const auto both = ids_.find(left + right);
    if (a == ids_.end() || b == ids_.end() || both == ids_.end()) {
      throw input_error("merge " + std::to_string(rank) + " has a part or result that isn't in the vocabulary");
    }
    merges_[key(a->second, b->second)] = {rank, both->second};
  }
}

void bpe::encode(std::string_view word, token_ids& ids) const {
  if (ignore_merges_) {
    if (const auto whole = ids_.find(std::string(word)); whole != ids_.end()) {
      ids.push_back(whole->second);
      return;
    }
  }

  std::vector<symbol> symbols;
  symbols.reserve(word.size());
  for (const char c : word) {
    const token_id id = byte_ids_[static_cast<unsigned char>(c)];
    if (id != none) symbols.push_back({id, symbols.size() - 1, symbols.size() + 1});
  }
  if (symbols.empty()) return;
  symbols.back().right = nowhere;  // the first one's left is `nowhere` already: 0 - 1

  std::priority_queue<candidate, std::vector<candidate>, std::greater<>> queue;
  const auto consider = [&](std::size_t at) {
    if (at == nowhere || symbols[at].right == nowhere) return;
    const token_id left = symbols[at].id;
    const token_id right = symbols[symbols[at].right].id;
    const auto found = merges_.find(key(left, right));
    if (found != merges_.end()) queue.push({found->second.rank, at, left, right, found->second.result});
  };
  for (std::size_t i = 0; i < symbols.size(); ++i) consider(i);
  while (!queue.empty()) {
    const candidate best = queue.top();
    queue.pop();
    symbol& left = symbols[best.at];
    if (left.id != best.left || left.right == nowhere) continue;
    symbol& right = symbols[left.right];
    if (right.id != best.right) continue;
    left.id = best.result;
    left.right = right.right;
    right.id = none;
    if (left.right != nowhere) symbols[left.right].left = best.at;
    consider(left.left);
    consider(best.at);
  }
  for (std::size_t i = 0; i != nowhere; i = symbols[i].right) ids.push_back(symbols[i].id);
}

}  // namespace llama
