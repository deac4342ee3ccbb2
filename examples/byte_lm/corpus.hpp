#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "common/error.hpp"
#include "sizes.hpp"

namespace byte_lm {

/// A text, the last tenth of which is never trained on. A position is the index of a byte to predict;
/// positions never reach back over the border between the two parts.
class corpus {
 public:
  corpus(std::string name, std::string text) : name_(std::move(name)), bytes_(text.begin(), text.end()) {
    const index_t least = 20 * (context + 1);
    if (size() < least) {
      throw input_error(name_ + ": " + std::to_string(size()) + " bytes of text, at least " + std::to_string(least) +
                        " are needed");
    }
  }

  const std::string& name() const { return name_; }
  index_t size() const { return std::ssize(bytes_); }
  const std::uint8_t* at(index_t position) const { return bytes_.data() + position; }

  index_t first_training_position() const { return context; }
  index_t end_of_training() const { return size() - size() / 10; }
  index_t first_held_out_position() const { return end_of_training() + context; }

 private:
  std::string name_;
  std::vector<std::uint8_t> bytes_;
};

/// Reads a file of text or of rows (common/rows.hpp). Throws input_error.
corpus load_corpus(const std::string& path);

}  // namespace byte_lm
