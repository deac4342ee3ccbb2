#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <string>

#include <sbora/config/errors.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// Everything sbora hands to kernels starts on a cache line: whole-vector loads then never split one.
inline constexpr std::size_t cache_line = 64;

constexpr std::size_t round_to_cache_line(std::size_t bytes) {
  return (bytes + cache_line - 1) / cache_line * cache_line;
}

struct aligned_delete {
  void operator()(void* memory) const noexcept {
    ::operator delete(memory, std::align_val_t{cache_line});
  }
};

/// Uninitialised elements of a trivial type, aligned to a cache line.
template <class T>
using aligned_array = std::unique_ptr<T[], aligned_delete>;

template <class T>
aligned_array<T> make_aligned_array(index_t size) {
  const std::size_t bytes = round_to_cache_line(static_cast<std::size_t>(size) * sizeof(T));
  return aligned_array<T>(
      static_cast<T*>(::operator new(bytes, std::align_val_t{cache_line})));
}

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

/// Scratch memory that calls borrow, so that none of them allocates.
///
/// Effect      A default-made workspace grows on first use to what the largest call needs and then
///             stays; one made from a span uses that memory only.
/// Lifetime    Contents mean nothing between calls. Memory of a span stays the caller's.
/// Cost        Growing allocates once, without copying; otherwise no allocation.
/// Thread      One workspace a thread: calls that may run at the same time need one each.
/// Errors      workspace_error where a span is too small, naming both sizes, before anything is
///             written; std::bad_alloc.
class workspace {
 public:
  workspace() = default;
  explicit workspace(std::span<std::byte> memory) noexcept : memory_(memory), external_(true) {}

  /// Makes room for `bytes`, as a layer's workspace_bytes() states them.
  void reserve(std::size_t bytes) {
    const std::size_t needed = bytes + alignment_slack();
    if (needed <= memory_.size()) return;
    if (external_) {
      throw workspace_error("sbora::workspace: " + std::to_string(needed) +
                            " bytes needed, the span given has " + std::to_string(memory_.size()));
    }
    owned_.reset();
    memory_ = {};
    owned_ = detail::make_aligned_array<std::byte>(static_cast<index_t>(needed));
    memory_ = {owned_.get(), needed};
  }

  std::size_t capacity() const noexcept {
    const std::size_t slack = alignment_slack();
    return memory_.size() < slack ? 0 : memory_.size() - slack;
  }

  /// First byte, on a cache line. For the library's own use, through workspace_frame.
  std::byte* data() noexcept { return memory_.data() + alignment_slack(); }

 private:
  std::size_t alignment_slack() const noexcept {
    const auto address = reinterpret_cast<std::uintptr_t>(memory_.data());
    return (detail::cache_line - address % detail::cache_line) % detail::cache_line;
  }

  detail::aligned_array<std::byte> owned_;
  std::span<std::byte> memory_;
  bool external_ = false;
};

}  // namespace sbora::inline SBORA_ABI

namespace sbora::inline SBORA_ABI::detail {

/// Bytes that `count` elements take in a frame.
template <class T>
constexpr std::size_t frame_bytes(index_t count) {
  return round_to_cache_line(static_cast<std::size_t>(count) * sizeof(T));
}

/// One call's pieces of a workspace, handed out in order.
class workspace_frame {
 public:
  workspace_frame(workspace& memory, std::size_t bytes) {
    memory.reserve(bytes);
    next_ = memory.data();
  }

  /// Everything taken after mark() is free again after rewind(mark).
  std::byte* mark() const noexcept { return next_; }
  void rewind(std::byte* mark) noexcept { next_ = mark; }

  template <class T>
  T* take(index_t count) {
    T* const piece = reinterpret_cast<T*>(next_);
    next_ += frame_bytes<T>(count);
    return piece;
  }

 private:
  std::byte* next_;
};

}  // namespace sbora::inline SBORA_ABI::detail
