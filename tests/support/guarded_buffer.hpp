#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <new>
#include <span>
#include <type_traits>
#include <vector>

#include <sbora/simd/float16.hpp>

namespace sbora_tests {

using sbora::index_t;

/// What fills memory that nobody may use: signalling NaNs, which any arithmetic changes, and as an index
/// an address that faults.
template <class T>
T padding() {
  std::uint64_t bits = 0x7FF4ABABABABABAB;
  if constexpr (std::is_same_v<T, float>) bits = 0x7FABABAB;
  if constexpr (sizeof(T) == 2 && !std::is_integral_v<T>) bits = 0x7FAB;  // bfloat16, and Eigen's types
  if constexpr (std::is_same_v<T, sbora::f16>) bits = 0x7DAB;
  T value;
  static_assert(sizeof value <= sizeof bits);
  std::memcpy(static_cast<void*>(&value), &bits, sizeof value);  // little endian, as every machine with a level
  return value;
}

/// The end of a buffer that touches a page without access. Buffers that end at one start at any
/// multiple of their element's size, those that start at one are aligned.
enum class guard { front, back };
inline constexpr guard both_guards[] = {guard::front, guard::back};

/// `size` elements, all padding at first, between pages whose use ends the program; the slack that
/// page sizes leave at the other end is watched by intact().
template <class T>
class guarded_buffer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  guarded_buffer(index_t size, guard touching) : size_(static_cast<std::size_t>(size)) {
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    const std::size_t usable = (size_ + slack + page / sizeof(T) - 1) * sizeof(T) / page * page;
    mapped_ = usable + 2 * page;
    void* const base = mmap(nullptr, mapped_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED) throw std::bad_alloc();
    base_ = static_cast<std::byte*>(base);
    if (mprotect(base_ + page, usable, PROT_READ | PROT_WRITE) != 0) throw std::bad_alloc();
    std::byte* const first = base_ + page;
    data_ = reinterpret_cast<T*>(touching == guard::front ? first : first + usable - size_ * sizeof(T));
    slack_ = touching == guard::front ? data_ + size_ : data_ - slack;
    for (std::size_t i = 0; i < size_; ++i) data_[i] = padding<T>();
    for (std::size_t i = 0; i < slack; ++i) slack_[i] = padding<T>();
  }
  /// A copy of somebody's.
  guarded_buffer(std::span<const T> values, guard touching)
      : guarded_buffer(static_cast<index_t>(values.size()), touching) {
    if (!values.empty()) std::memcpy(data_, values.data(), values.size_bytes());
  }
  ~guarded_buffer() { munmap(base_, mapped_); }
  guarded_buffer(const guarded_buffer&) = delete;
  guarded_buffer& operator=(const guarded_buffer&) = delete;

  T* data() const { return data_; }
  index_t size() const { return static_cast<index_t>(size_); }
  T& operator[](index_t i) const { return data_[i]; }

  /// A copy of all elements, and putting one back.
  std::vector<T> image() const { return {data_, data_ + size_}; }
  void assign(const std::vector<T>& image) const { std::memcpy(data_, image.data(), image.size() * sizeof(T)); }

  /// Whether the slack is as it was.
  bool intact() const {
    const T expected = padding<T>();
    for (std::size_t i = 0; i < slack; ++i) {
      if (std::memcmp(slack_ + i, &expected, sizeof(T)) != 0) return false;
    }
    return true;
  }

 private:
  static constexpr std::size_t slack = 32;  // two of the longest vectors

  std::size_t size_, mapped_;
  std::byte* base_;
  T* data_;
  T* slack_;
};

/// rows × cols elements at a stride, guarded; the gaps between rows are padding. The last row has no gap,
/// so its end touches the guard.
template <class T>
class guarded_matrix {
 public:
  guarded_matrix(index_t rows, index_t cols, index_t stride, guard touching)
      : rows_(rows),
        cols_(cols),
        stride_(stride),
        memory_(rows > 0 && cols > 0 ? (rows - 1) * stride + cols : 0, touching) {}

  index_t rows() const { return rows_; }
  index_t cols() const { return cols_; }
  index_t stride() const { return stride_; }
  T* data() const { return memory_.data(); }
  T& operator()(index_t row, index_t col) const { return memory_[row * stride_ + col]; }
  const guarded_buffer<T>& memory() const { return memory_; }

  /// Sets every element, not the gaps, to next().
  template <class Generator>
  void fill(Generator&& next) const {
    for (index_t row = 0; row < rows_; ++row) {
      for (index_t col = 0; col < cols_; ++col) (*this)(row, col) = next();
    }
  }

 private:
  index_t rows_, cols_, stride_;
  guarded_buffer<T> memory_;
};

}  // namespace sbora_tests
