#pragma once

#include <initializer_list>
#include <limits>
#include <optional>
#include <span>

#include <sbora/core/errors.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// The product of sizes that come from a file or a caller: nothing where one is negative or no index_t holds it.
/// Wherever such sizes are multiplied, it is by this; their product is then that of memory that can exist.
constexpr std::optional<index_t> size_product(std::span<const index_t> sizes) noexcept {
  index_t product = 1;
  bool empty = false, fits = true;
  for (const index_t size : sizes) {
    if (size < 0) return std::nullopt;
    empty = empty || size == 0;
    fits = fits && !__builtin_mul_overflow(product, size, &product);
  }
  return empty ? std::optional<index_t>(0) : fits ? std::optional(product) : std::nullopt;
}

constexpr std::optional<index_t> size_product(std::initializer_list<index_t> sizes) noexcept {
  return size_product(std::span(sizes.begin(), sizes.size()));
}

/// The same where there has to be one. Errors: shape_error with `what` and the sizes.
SBORA_COLD inline index_t require_product(const char* what, std::span<const index_t> sizes) {
  if (const std::optional<index_t> product = size_product(sizes)) return *product;
  std::string text;
  for (const index_t size : sizes) text += message({text.empty() ? "" : " x ", size});
  throw shape_error(message({what, ": ", text, " is no size that memory can have"}));
}

inline index_t require_product(const char* what, std::initializer_list<index_t> sizes) {
  return require_product(what, std::span(sizes.begin(), sizes.size()));
}

}  // namespace sbora::inline SBORA_ABI::detail
