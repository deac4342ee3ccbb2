// Scratch memory: it grows once, never beyond a span that was given, and pieces lie on cache lines.

#include <sbora/core/workspace.hpp>

#include <utility>
#include <vector>

#include "support/message.hpp"

using sbora::workspace;
using sbora::detail::workspace_frame;

namespace {

bool on_cache_line(const void* memory) { return reinterpret_cast<std::uintptr_t>(memory) % 64 == 0; }

/// `size` bytes that start `offset` bytes after a cache line, 0xAB around them.
struct guarded_bytes {
  guarded_bytes(std::size_t size, std::size_t offset) : memory(size + 512, std::byte{0xAB}) {
    const auto address = reinterpret_cast<std::uintptr_t>(memory.data());
    begin = (64 - address % 64) % 64 + 64 + offset;
    end = begin + size;
  }
  std::span<std::byte> span() { return {memory.data() + begin, end - begin}; }
  bool intact() const {
    for (std::size_t i = 0; i < memory.size(); ++i) {
      if ((i < begin || i >= end) && memory[i] != std::byte{0xAB}) return false;
    }
    return true;
  }
  std::vector<std::byte> memory;
  std::size_t begin, end;
};

}  // namespace

TEST_CASE("a default workspace grows to the largest request and stays") {
  workspace memory;
  CHECK(memory.capacity() == 0);
  memory.reserve(0);
  CHECK(memory.capacity() == 0);
  memory.reserve(1000);
  CHECK(memory.capacity() >= 1000);
  CHECK(on_cache_line(memory.data()));
  const std::byte* const before = memory.data();
  memory.reserve(10);
  memory.reserve(1000);
  CHECK(memory.data() == before);
  memory.reserve(5000);
  CHECK(memory.capacity() >= 5000);
  CHECK(on_cache_line(memory.data()));
}

TEST_CASE("a workspace on a span uses that memory only") {
  for (const std::size_t offset : {0U, 1U, 8U, 63U}) {
    CAPTURE(offset);
    guarded_bytes bytes(640, offset);
    workspace memory(bytes.span());
    CHECK(memory.capacity() == 640 - (64 - offset) % 64);
    CHECK(on_cache_line(memory.data()));
    memory.reserve(memory.capacity());
    workspace_frame frame(memory, 256);
    int* const piece = frame.take<int>(64);
    CHECK(reinterpret_cast<std::byte*>(piece) >= bytes.span().data());
    std::fill_n(piece, 64, 7);
    CHECK(bytes.intact());
  }
}

TEST_CASE("a span that is too small throws and names both sizes") {
  guarded_bytes bytes(640, 0);
  workspace memory(bytes.span());
  memory.reserve(640);
  CHECK_ERROR(sbora::workspace_error, "704 bytes needed, the span given has 640", memory.reserve(704));
  CHECK_ERROR(sbora::workspace_error, "641 bytes needed", workspace_frame(memory, 641));
  memory.reserve(640);  // still usable

  guarded_bytes shifted(640, 8);
  workspace unaligned(shifted.span());
  CHECK_ERROR(sbora::workspace_error, "the span given has 640", unaligned.reserve(640));
  unaligned.reserve(640 - 56);
  CHECK_ERROR(sbora::workspace_error,
              "696 bytes needed, the span given has 640; 56 of them because it doesn't start on",
              unaligned.reserve(640));

  workspace none{std::span<std::byte>{}};
  CHECK(none.capacity() == 0);
  none.reserve(0);
  CHECK_ERROR(sbora::workspace_error, "the span given has 0", none.reserve(1));
}

TEST_CASE("a span smaller than its alignment slack has no capacity") {
  guarded_bytes bytes(16, 8);
  workspace memory(bytes.span());
  CHECK(memory.capacity() == 0);
  CHECK_THROWS_AS(memory.reserve(1), sbora::workspace_error);
  CHECK(bytes.intact());
}

TEST_CASE("a frame hands out disjoint pieces on cache lines") {
  workspace memory;
  const std::size_t bytes = sbora::detail::frame_bytes<double>(3) + sbora::detail::frame_bytes<float>(17);
  CHECK(bytes == 64 + 128);
  workspace_frame frame(memory, bytes);
  double* const a = frame.take<double>(3);
  float* const b = frame.take<float>(17);
  CHECK(on_cache_line(a));
  CHECK(on_cache_line(b));
  CHECK(static_cast<void*>(b) == static_cast<void*>(a + 8));
}

TEST_CASE("a moved workspace keeps its memory and leaves none behind") {
  workspace memory;
  memory.reserve(256);
  const std::byte* const before = memory.data();
  workspace other(std::move(memory));
  CHECK(other.data() == before);
  CHECK(other.capacity() >= 256);
  CHECK(memory.capacity() == 0);
  memory.reserve(64);
  CHECK(memory.data() != before);
}
