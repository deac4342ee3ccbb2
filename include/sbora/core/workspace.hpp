#pragma once

#include <cstdint>
#include <span>
#include <string>

#include <sbora/core/aligned_memory.hpp>
#include <sbora/core/assert.hpp>
#include <sbora/core/errors.hpp>
#include <sbora/core/executor.hpp>

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

  /// Makes room for `bytes` from the first cache line on. A layer's workspace_bytes() is enough, and counts what a
  /// span that starts elsewhere loses before that line.
  void reserve(std::size_t bytes) {
    const std::size_t slack = alignment_slack();
    const std::size_t needed = bytes + slack;
    if (needed <= memory_.value.size()) return;
    if (external_) {
      throw workspace_error(detail::message(
          {"sbora::workspace: ", needed, " bytes needed, the span given has ", memory_.value.size(),
           slack == 0
               ? ""
               : detail::message({"; ", slack, " of them because it doesn't start on a cache line of 64 bytes"})}));
    }
    owned_.reset();
    memory_.value = {};
    owned_ = detail::make_aligned_array<std::byte>(static_cast<index_t>(needed));
    memory_.value = {owned_.get(), needed};
  }

  std::size_t capacity() const noexcept {
    const std::size_t slack = alignment_slack();
    return memory_.value.size() < slack ? 0 : memory_.value.size() - slack;
  }

  /// First byte, on a cache line. For the library's own use, through workspace_frame.
  std::byte* data() & noexcept { return memory_.value.data() + alignment_slack(); }

 private:
  std::size_t alignment_slack() const noexcept {
    const auto address = reinterpret_cast<std::uintptr_t>(memory_.value.data());
    return (detail::cache_line - address % detail::cache_line) % detail::cache_line;
  }

  detail::aligned_array<std::byte> owned_;
  detail::reset_on_move<std::span<std::byte>> memory_;
  bool external_ = false;
};

}  // namespace sbora::inline SBORA_ABI

namespace sbora::inline SBORA_ABI::detail {

/// Bytes that `count` elements take in a frame.
template <class T>
constexpr std::size_t frame_bytes(index_t count) {
  return round_to_cache_line(static_cast<std::size_t>(count) * sizeof(T));
}

/// What a span of any alignment needs for a frame of that many.
constexpr std::size_t span_bytes(std::size_t frame) { return frame == 0 ? 0 : frame + cache_line - 1; }

/// One call's pieces of a workspace, handed out in order. A copy goes on where it was copied, so what a callee takes of
/// a copy is free again afterwards.
class workspace_frame {
 public:
  workspace_frame(workspace& memory, std::size_t bytes) : left_(bytes) {
    memory.reserve(bytes);
    next_ = memory.data();
  }

  /// Counts instead: its pieces are null, and `most` becomes the largest sum of them that it or a copy reaches.
  explicit workspace_frame(std::size_t& most) noexcept : most_(&most) {}

  bool counts() const noexcept { return most_ != nullptr; }

  template <class T>
  T* take(index_t count) {
    const std::size_t bytes = frame_bytes<T>(count);
    if (most_ != nullptr) {
      taken_ += bytes;
      *most_ = *most_ < taken_ ? taken_ : *most_;
      return nullptr;
    }
    SBORA_ASSERT(bytes <= left_, "the call takes more scratch than it counted");
    T* const piece = static_cast<T*>(static_cast<void*>(next_));
    next_ += bytes;
    left_ -= bytes;
    return piece;
  }

 private:
  std::byte* next_ = nullptr;
  std::size_t left_ = 0;
  std::size_t taken_ = 0;
  std::size_t* most_ = nullptr;
};

/// Bytes of a frame in which work(frame, executor) can run: it is run on a frame that counts, by an executor that runs
/// no tasks. So `work` may ask for pieces and hand out tasks, and must leave reading and writing to those.
template <class Work>
std::size_t scratch_of(const Work& work) {
  std::size_t most = 0;
  work(workspace_frame(most), any_executor::idle());
  return most;
}

}  // namespace sbora::inline SBORA_ABI::detail
