#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <sbora/core/index.hpp>

/// How large what is read may be. Time and memory are linear in a file up to these, and nothing in a file makes sbora
/// take more: memory for what it says is taken only where the file has the bytes, or is limited here.
namespace sbora::inline SBORA_ABI::detail {

/// Of a safetensors file: the format's own. An index of shards, which repeats the names, has the same.
inline constexpr std::size_t largest_header = 100'000'000;
/// adapter_config.json, and the copy in a header's metadata: 100,000 modules one by one take 11 MB. In memory it is
/// up to 24 times as large.
inline constexpr std::size_t largest_config = std::size_t{16} << 20;
/// bitsandbytes' state of a weight has some 200.
inline constexpr std::size_t largest_quant_state = std::size_t{64} << 10;
/// A key's or a tensor's name in a GGUF file: GGUF's own for keys; llama.cpp's for tensors is 63.
inline constexpr std::size_t largest_gguf_name = 65535;
/// A module's name in an adapter.
inline constexpr std::size_t largest_module_name = 1024;
/// d_out and d_in as an adapter's file says them, where no tensor has that length.
inline constexpr index_t largest_dimension = (index_t{1} << 31) - 1;
/// The one-hot halves of a LoRA, which a small adapter of large modules can blow up: on disk, memory is a piece.
inline constexpr index_t largest_one_hot_bytes = index_t{64} << 30;
/// Deeper JSON is refused: what sbora reads has a few levels, and other parsers' stacks end somewhere.
inline constexpr int deepest_json = 128;

/// For messages: a text from a file, cut short.
inline std::string shortened(std::string_view text, std::size_t most = 200) {
  if (text.size() <= most) return std::string(text);
  std::size_t end = most;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80) --end;  // whole characters
  return std::string(text.substr(0, end)) + "...";
}

}  // namespace sbora::inline SBORA_ABI::detail
