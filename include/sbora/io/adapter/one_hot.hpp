#pragma once

#include <charconv>
#include <optional>
#include <string>
#include <vector>

#include <sbora/core/index.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// A matrix read as `rank` lines along one half of a LoRA: rows of lora_A, columns of lora_B.
template <class T>
struct half_lines {
  const T* values;
  index_t rank;
  index_t length;
  bool rows;  ///< of rank × length; otherwise columns of length × rank

  T at(index_t line, index_t k) const { return rows ? values[line * length + k] : values[k * rank + line]; }
};

/// Shortest decimal that reads back the same.
template <class T>
std::string exact_text(T value) {
  char text[64];
  const auto [end, status] = std::to_chars(text, text + sizeof text, value);
  return {text, end};
}

/// Where every line has its 1; or why the lines aren't distinct standard-basis vectors: line, place, value.
template <class T>
struct one_hot_result {
  std::vector<index_t> indices = {};
  std::string refusal = {};
};

template <class T>
one_hot_result<T> read_one_hot(const half_lines<T>& lines) {
  const std::string line_name = lines.rows ? "row " : "column ", place_name = lines.rows ? "column " : "row ";
  one_hot_result<T> result;
  std::vector<index_t> taken(static_cast<std::size_t>(lines.length), -1);
  for (index_t line = 0; line < lines.rank; ++line) {
    const std::string here = line_name + std::to_string(line);
    index_t hot = -1;
    for (index_t k = 0; k < lines.length; ++k) {
      const T value = lines.at(line, k);
      if (value == 0) continue;
      const std::string there = place_name + std::to_string(k);
      if (value != 1) return {{}, here + " has " + exact_text(value) + " in " + there + ", expected 0 or 1"};
      if (hot >= 0) return {{}, here + " has a 1 in " + place_name + std::to_string(hot) + " and in " + there};
      hot = k;
    }
    if (hot < 0) return {{}, here + " has no 1"};
    index_t& owner = taken[static_cast<std::size_t>(hot)];
    if (owner >= 0) {
      return {{},
              here + " has its 1 in " + place_name + std::to_string(hot) + ", as " + line_name + std::to_string(owner)};
    }
    owner = line;
    result.indices.push_back(hot);
  }
  return result;
}

}  // namespace sbora::inline SBORA_ABI::detail
