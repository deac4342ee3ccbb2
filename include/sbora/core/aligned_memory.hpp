#pragma once

#include <cstddef>
#include <limits>
#include <new>
#include <utility>
#include <vector>

#include <sbora/core/index.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// Large arrays that sbora owns start on a cache line, so that whole-vector loads don't split one.
inline constexpr std::size_t cache_line = 64;

constexpr std::size_t round_to_cache_line(std::size_t bytes) {
  return (bytes + cache_line - 1) / cache_line * cache_line;
}

inline void free_aligned(void* memory) noexcept { ::operator delete(memory, std::align_val_t{cache_line}); }

/// Uninitialised elements of a trivial type, aligned to a cache line. Not a std::unique_ptr: <memory> takes a tenth of
/// the time that all the standard headers of sbora take.
template <class T>
class aligned_array {
 public:
  aligned_array() = default;
  /// Takes what ::operator new gave for that alignment.
  explicit aligned_array(void* memory) noexcept : data_(static_cast<T*>(memory)) {}
  aligned_array(aligned_array&& other) noexcept : data_(std::exchange(other.data_, nullptr)) {}
  aligned_array& operator=(aligned_array&& other) noexcept {
    if (this != &other) {
      reset();
      data_ = std::exchange(other.data_, nullptr);
    }
    return *this;
  }
  ~aligned_array() { reset(); }

  T* get() const& noexcept { return data_; }
  T* get() const&& = delete;  // would dangle: name the array
  T& operator[](std::size_t i) const noexcept { return data_[i]; }
  void reset() noexcept { free_aligned(std::exchange(data_, nullptr)); }

 private:
  T* data_ = nullptr;
};

/// Errors: std::bad_alloc, also for sizes that no memory has.
template <class T>
aligned_array<T> make_aligned_array(index_t size) {
  constexpr index_t most = std::numeric_limits<index_t>::max() / static_cast<index_t>(2 * sizeof(T));
  if (size < 0 || size > most) throw std::bad_array_new_length();
  const std::size_t bytes = round_to_cache_line(static_cast<std::size_t>(size) * sizeof(T));
  return aligned_array<T>(::operator new(bytes, std::align_val_t{cache_line}));
}

/// For the vectors of owning types that are values, where an array that only moves won't do.
template <class T>
struct aligned_allocator {
  using value_type = T;

  aligned_allocator() = default;
  template <class U>
  aligned_allocator(const aligned_allocator<U>&) noexcept {}

  T* allocate(std::size_t size) {
    return static_cast<T*>(::operator new(size * sizeof(T), std::align_val_t{cache_line}));
  }
  void deallocate(T* memory, std::size_t) noexcept { free_aligned(memory); }
  friend bool operator==(const aligned_allocator&, const aligned_allocator&) noexcept { return true; }
};

template <class T>
using aligned_vector = std::vector<T, aligned_allocator<T>>;

/// A member that is T{} after a move: a span of memory that moved along.
template <class T>
struct reset_on_move {
  T value{};

  reset_on_move() = default;
  reset_on_move(const reset_on_move&) = default;
  reset_on_move& operator=(const reset_on_move&) = default;
  reset_on_move(T value_) noexcept : value(value_) {}
  reset_on_move(reset_on_move&& other) noexcept : value(std::exchange(other.value, T{})) {}
  reset_on_move& operator=(reset_on_move&& other) noexcept {
    value = std::exchange(other.value, T{});
    return *this;
  }
};

}  // namespace sbora::inline SBORA_ABI::detail
