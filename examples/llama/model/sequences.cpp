#include "model/sequences.hpp"

#include <string>

#include "common/error.hpp"

namespace llama {
namespace {

void check_size(const char* what, std::size_t size, index_t expected) {
  if (static_cast<index_t>(size) == expected) return;
  throw input_error("a batch has " + std::to_string(size) + " " + what + ", expected " + std::to_string(expected));
}

void check_id(std::int32_t id, index_t vocab_size) {
  if (id >= 0 && id < vocab_size) return;
  throw input_error("token id " + std::to_string(id) + " is outside the model's vocabulary of " +
                    std::to_string(vocab_size) + "; is it another model's tokenizer?");
}

}  // namespace

packed_tokens pack(const token_batch& batch, index_t vocab_size) {
  const index_t size = batch.sequences * batch.length;
  check_size("tokens", batch.tokens.size(), size);
  check_size("mask values", batch.mask.size(), size);
  packed_tokens packed;
  for (index_t sequence = 0; sequence < batch.sequences; ++sequence) {
    const index_t first = packed.count();
    for (index_t t = 0; t < batch.length; ++t) {
      const auto row = static_cast<std::size_t>(sequence * batch.length + t);
      const index_t position = packed.count() - first;
      if (batch.mask[row] == 0) {
        if (position > 0) throw input_error("a batch is padded elsewhere than on the left");
        continue;
      }
      check_id(batch.tokens[row], vocab_size);
      packed.ids.push_back(batch.tokens[row]);
      packed.positions.push_back(position);
      packed.rows.push_back(static_cast<index_t>(row));
    }
    if (packed.count() == first) throw input_error("a batch has a sequence without tokens");
    packed.sequences.push_back({first, packed.count() - first});
  }
  return packed;
}

std::vector<target> targets_of(const token_batch& batch, const packed_tokens& tokens, index_t vocab_size) {
  check_size("labels", batch.labels.size(), batch.sequences * batch.length);
  std::vector<target> targets;
  for (const token_range& sequence : tokens.sequences) {
    for (index_t t = sequence.first; t + 1 < sequence.first + sequence.length; ++t) {
      const auto row = static_cast<std::size_t>(tokens.rows[static_cast<std::size_t>(t)]);
      const std::int32_t next = batch.labels[row + 1];
      if (next == token_batch::not_scored) continue;
      check_id(next, vocab_size);
      targets.push_back({t, next});
    }
  }
  return targets;
}

index_t longest(const packed_tokens& tokens) {
  index_t longest = 0;
  for (const token_range& sequence : tokens.sequences) longest = std::max(longest, sequence.length);
  return longest;
}

}  // namespace llama
