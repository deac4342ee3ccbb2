#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

#include <sbora/core/abi.hpp>

namespace sbora::inline SBORA_ABI {

/// The types of GGUF's metadata, with the numbers that files have for them.
enum class gguf_type : std::uint32_t {
  u8 = 0,
  i8 = 1,
  u16 = 2,
  i16 = 3,
  u32 = 4,
  i32 = 5,
  f32 = 6,
  boolean = 7,
  string = 8,
  array = 9,
  u64 = 10,
  i64 = 11,
  f64 = 12,
  none = 0xFFFFFFFF  ///< no file's: of a value that isn't there
};

/// A value of a GGUF file's metadata, in place: one, or an array.
///
/// Lifetime    points into the file's bytes.
/// Thread      a value; its memory is only read.
class gguf_value {
 public:
  gguf_value() = default;
  /// Requires    `bytes` are those of `count` values, strings with their lengths: who reads a file has checked it.
  gguf_value(gguf_type type, bool is_array, std::uint64_t count, std::span<const std::byte> bytes) noexcept
      : type_(type), is_array_(is_array), count_(count), bytes_(bytes) {}

  explicit operator bool() const noexcept { return type_ != gguf_type::none; }
  /// Of the elements, where it is an array.
  gguf_type type() const noexcept { return type_; }
  bool is_array() const noexcept { return is_array_; }
  std::uint64_t size() const noexcept { return count_; }
  std::span<const std::byte> bytes() const noexcept { return bytes_; }

  /// It, where it is one string.
  std::optional<std::string_view> string() const noexcept {
    if (type_ != gguf_type::string || is_array_) return std::nullopt;
    return text(bytes_.subspan(sizeof(std::uint64_t)));
  }
  /// It, where it is one number, or true or false, that a T holds exactly (a floating-point T: rounds).
  template <class T>
    requires std::is_arithmetic_v<T>
  std::optional<T> number() const noexcept {
    return is_array_ ? std::nullopt : element<T>(0);
  }
  /// All of an array of numbers that a T holds exactly; nothing where it is something else.
  template <class T>
    requires std::is_arithmetic_v<T>
  std::optional<std::vector<T>> numbers() const {
    if (!is_array_ || width() == 0) return std::nullopt;
    std::vector<T> all;
    all.reserve(count_);
    for (std::uint64_t i = 0; i < count_; ++i) {
      const std::optional<T> each = element<T>(i);
      if (!each) return std::nullopt;
      all.push_back(*each);
    }
    return all;
  }
  /// All of an array of strings; nothing where it is something else.
  std::optional<std::vector<std::string_view>> strings() const {
    if (!is_array_ || type_ != gguf_type::string) return std::nullopt;
    std::vector<std::string_view> all;
    all.reserve(count_);
    for (std::span<const std::byte> rest = bytes_; all.size() < count_;) {
      std::uint64_t length = 0;
      std::memcpy(&length, rest.data(), sizeof length);
      rest = rest.subspan(sizeof length);
      all.push_back(text(rest.first(length)));
      rest = rest.subspan(length);
    }
    return all;
  }

  /// Bytes of one value; 0 for strings, and for what is none.
  static constexpr std::size_t width_of(gguf_type type) noexcept {
    switch (type) {
      case gguf_type::u8:
      case gguf_type::i8:
      case gguf_type::boolean: return 1;
      case gguf_type::u16:
      case gguf_type::i16: return 2;
      case gguf_type::u32:
      case gguf_type::i32:
      case gguf_type::f32: return 4;
      case gguf_type::u64:
      case gguf_type::i64:
      case gguf_type::f64: return 8;
      default: return 0;
    }
  }

 private:
  static std::string_view text(std::span<const std::byte> bytes) noexcept {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  std::size_t width() const noexcept { return width_of(type_); }

  template <class From>
  From stored(std::uint64_t i) const noexcept {
    From value;
    std::memcpy(&value, bytes_.data() + i * sizeof(From), sizeof value);
    return value;
  }

  template <class T, class From>
  static std::optional<T> exactly(From value) noexcept {
    if constexpr (std::is_floating_point_v<T>) {
      return static_cast<T>(value);
    } else if constexpr (std::is_floating_point_v<From>) {
      if (!(value == std::floor(value)) || !(std::fabs(value) < From(0x1p53))) return std::nullopt;
      return exactly<T>(static_cast<std::int64_t>(value));
    } else if constexpr (std::is_same_v<T, bool>) {
      return value == From{0} ? std::optional(false) : value == From{1} ? std::optional(true) : std::nullopt;
    } else {
      const T kept = static_cast<T>(value);
      const bool same_sign = (kept < T{0}) == (value < From{0});
      return static_cast<From>(kept) == value && same_sign ? std::optional(kept) : std::nullopt;
    }
  }

  template <class T>
  std::optional<T> element(std::uint64_t i) const noexcept {
    switch (type_) {
      case gguf_type::u8:
      case gguf_type::boolean: return exactly<T>(stored<std::uint8_t>(i));
      case gguf_type::i8: return exactly<T>(stored<std::int8_t>(i));
      case gguf_type::u16: return exactly<T>(stored<std::uint16_t>(i));
      case gguf_type::i16: return exactly<T>(stored<std::int16_t>(i));
      case gguf_type::u32: return exactly<T>(stored<std::uint32_t>(i));
      case gguf_type::i32: return exactly<T>(stored<std::int32_t>(i));
      case gguf_type::f32: return exactly<T>(stored<float>(i));
      case gguf_type::u64: return exactly<T>(stored<std::uint64_t>(i));
      case gguf_type::i64: return exactly<T>(stored<std::int64_t>(i));
      case gguf_type::f64: return exactly<T>(stored<double>(i));
      default: return std::nullopt;
    }
  }

  gguf_type type_ = gguf_type::none;
  bool is_array_ = false;
  std::uint64_t count_ = 0;
  std::span<const std::byte> bytes_ = {};
};

/// A key of the metadata, and its value.
struct gguf_entry {
  std::string_view key;
  gguf_value value;
};

}  // namespace sbora::inline SBORA_ABI
