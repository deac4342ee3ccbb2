#include "corpus.hpp"

#include "common/rows.hpp"

namespace byte_lm {

corpus load_corpus(const std::string& path) { return corpus(path, read_plain_text(path)); }

}  // namespace byte_lm
