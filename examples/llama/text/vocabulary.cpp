#include "text/vocabulary.hpp"

#include <utility>

#include "common/error.hpp"

namespace llama {

void vocabulary::add(std::string token, std::int64_t id) {
  constexpr std::int64_t most = 1 << 24;  // ten times the largest vocabulary; a file can't make us allocate more
  if (id < 0 || id >= most) {
    throw input_error("no token can have the id " + std::to_string(id) + ", as \"" + token + "\" has");
  }
  const auto index = static_cast<std::size_t>(id);
  if (index >= tokens_.size()) tokens_.resize(index + 1);
  tokens_[index] = token;
  ids_[std::move(token)] = static_cast<token_id>(id);
}

std::optional<std::string> vocabulary::token(token_id id) const {
  if (id < 0 || id >= size()) return std::nullopt;
  return tokens_[static_cast<std::size_t>(id)];
}

std::string byte_token(unsigned char byte) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  return {'<', '0', 'x', digits[byte >> 4], digits[byte & 15], '>'};
}

std::optional<unsigned char> byte_of_token(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return std::nullopt;
  int value = 0;
  for (const char c : token.substr(3, 2)) {
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                             : -1;
    if (digit < 0) return std::nullopt;
    value = value * 16 + digit;
  }
  return static_cast<unsigned char>(value);
}

}  // namespace llama
