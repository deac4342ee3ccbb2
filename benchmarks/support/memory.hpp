#pragma once

/// Memory that all arms of a measurement share the properties of: anonymous pages, written to before
/// anything is timed, so no arm pays for page faults that another doesn't.

#include <cstddef>
#include <cstdlib>
#include <new>
#include <span>
#include <utility>

#include <sys/mman.h>

namespace bench {

/// SBORA_BENCH_HUGEPAGES=1 asks for 2 MiB pages in every buffer (weights, peers, copies alike).
inline bool huge_pages() {
  static const bool wanted = [] {
    const char* text = std::getenv("SBORA_BENCH_HUGEPAGES");
    return text != nullptr && text[0] == '1';
  }();
  return wanted;
}

/// Owns `count` zeroed and resident elements, aligned to 2 MiB.
template <class T>
class buffer {
 public:
  buffer() = default;
  explicit buffer(std::size_t count) : count_(count) {
    if (count == 0) return;
    bytes_ = (count * sizeof(T) + alignment - 1) / alignment * alignment + alignment;
    base_ = ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base_ == MAP_FAILED) throw std::bad_alloc();
    const auto address = reinterpret_cast<std::size_t>(base_);
    data_ = reinterpret_cast<T*>((address + alignment - 1) / alignment * alignment);
    if (huge_pages()) ::madvise(data_, bytes_ - alignment, MADV_HUGEPAGE);
    volatile char* pages = reinterpret_cast<char*>(data_);
    for (std::size_t offset = 0; offset < count * sizeof(T); offset += 4096) pages[offset] = 0;
  }
  buffer(buffer&& other) noexcept { swap(other); }
  buffer& operator=(buffer&& other) noexcept {
    buffer taken(std::move(other));
    swap(taken);
    return *this;
  }
  ~buffer() {
    if (base_ != nullptr) ::munmap(base_, bytes_);
  }

  T* data() { return data_; }
  const T* data() const { return data_; }
  std::size_t size() const { return count_; }
  T& operator[](std::size_t i) { return data_[i]; }
  const T& operator[](std::size_t i) const { return data_[i]; }
  T* begin() { return data_; }
  T* end() { return data_ + count_; }
  std::span<T> span() { return {data_, count_}; }
  std::span<const T> span() const { return {data_, count_}; }

 private:
  static constexpr std::size_t alignment = std::size_t{2} << 20;

  void swap(buffer& other) noexcept {
    std::swap(base_, other.base_);
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    std::swap(count_, other.count_);
  }

  void* base_ = nullptr;
  T* data_ = nullptr;
  std::size_t bytes_ = 0;
  std::size_t count_ = 0;
};

}  // namespace bench
