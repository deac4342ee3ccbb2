#pragma once

#include <vector>

#include "model/batch.hpp"

namespace llama {

/// Where one sequence's tokens lie among all tokens that are computed.
struct token_range {
  index_t first;
  index_t length;
};

/// A batch without its padding: what is computed is real tokens only, sequence after sequence. So a
/// padded sequence costs and gives what it does alone.
struct packed_tokens {
  std::vector<token_range> sequences;
  std::vector<std::int32_t> ids;
  std::vector<index_t> positions;  ///< of a token in its sequence, from 0
  std::vector<index_t> rows;       ///< of a token in the padded batch

  index_t count() const { return static_cast<index_t>(ids.size()); }
};

/// The length of the longest sequence.
index_t longest(const packed_tokens& tokens);

/// Errors: input_error for sizes that don't fit, padding elsewhere than on the left, empty sequences and
/// ids outside the vocabulary.
packed_tokens pack(const token_batch& batch, index_t vocab_size);

/// A position whose next token is scored.
struct target {
  index_t token;  ///< among the packed
  std::int32_t next;
};
std::vector<target> targets_of(const token_batch& batch, const packed_tokens& tokens, index_t vocab_size);

}  // namespace llama
