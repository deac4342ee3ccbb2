// Included once per level, inside its namespace. No include guard, no includes.

/// Fetches, some lines with every call, what will be needed next: runs of bytes at a stride. No
/// hardware prefetcher foresees the next block of rows that are used a kilobyte at a time. Into the L1 cache: rows a
/// power of two apart push each other out of the L2 cache's sets otherwise. (Zen 5, dy·W of 64 tokens: 1.1 times.)
class line_prefetch {
 public:
  /// Runs of `length` bytes, `stride` bytes apart.
  SBORA_FORCE_INLINE line_prefetch(const void* run, index_t stride, index_t runs, index_t length) noexcept
      : run_(static_cast<const char*>(run)), stride_(stride), runs_(length > 0 ? runs : 0), length_(length) {}

  SBORA_FORCE_INLINE index_t lines() const noexcept { return runs_ * ((length_ + line - 1) / line); }

  SBORA_FORCE_INLINE void fetch(index_t lines) noexcept {
    for (; lines > 0 && runs_ > 0; --lines) {
      __builtin_prefetch(run_ + at_);
      at_ += line;
      if (at_ < length_) continue;
      at_ = 0;
      run_ += stride_;
      --runs_;
    }
  }

 private:
  static constexpr index_t line = 64;

  const char* run_;
  index_t stride_, runs_, length_;
  index_t at_ = 0;
};
