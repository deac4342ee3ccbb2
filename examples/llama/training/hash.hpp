#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace llama {

/// XXH3, 128 bits, of all bytes that are added: any change of them is seen, but for one in 2^128. Against accidents,
/// such as another version of a file, not against somebody who looks for two contents with one hash.
///
/// Cost        a read of the bytes, some GB/s.
class content_hash {
 public:
  content_hash();
  ~content_hash();

  content_hash& add(std::span<const std::byte> bytes);
  /// With its length, so that "ab", "c" and "a", "bc" differ.
  content_hash& add(std::string_view text);
  /// 32 hexadecimal digits.
  std::string text() const;

 private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace llama
