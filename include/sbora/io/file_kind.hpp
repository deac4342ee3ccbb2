#pragma once

#include <string>
#include <string_view>

#include <sbora/io/errors.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// What stands in a file's place, with what helps, where that can be told by its first bytes; otherwise empty.
inline std::string what_else_it_is(std::string_view bytes) {
  using namespace std::string_view_literals;
  const auto is = [&](std::string_view magic) { return bytes.starts_with(magic); };
  if (is("version https://git-lfs"sv)) return "a Git LFS pointer to the file, not the file; git lfs pull fetches it";
  if (is("PK\x03\x04"sv) || is("\x80\x02"sv)) {
    return "a pickle of PyTorch under another name, which sbora doesn't read; save it with safetensors";
  }
  if (is("\x1f\x8b"sv)) return "compressed by gzip; unpack it";
  if (is("<!DOCTYPE"sv) || is("<!doctype"sv) || is("<html"sv)) {
    return "a web page, as a failed download leaves it; download the file again";
  }
  if (is("GGUF"sv)) return "a GGUF file, which only gguf_file reads; give the safetensors that it was made from";
  return {};
}

/// Errors: format_error for another kind of file.
inline void refuse_other_file(std::string_view bytes, const std::filesystem::path& path) {
  const std::string what = what_else_it_is(bytes);
  if (!what.empty()) throw format_error(format_fault::other_file, path, what);
}

}  // namespace sbora::inline SBORA_ABI::detail
