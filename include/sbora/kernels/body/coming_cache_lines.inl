// Included once per level, inside its namespace. No include guard, no includes.

/// Goes through runs of bytes at a stride, a cache line at a time.
class cache_line_cursor {
 public:
  static constexpr index_t bytes = 64;

  /// Runs of `length` bytes, `stride` bytes apart.
  SBORA_FORCE_INLINE cache_line_cursor(const void* run, index_t stride, index_t runs, index_t length) noexcept
      : run_(static_cast<const char*>(run)), stride_(stride), runs_(length > 0 ? runs : 0), length_(length) {}

  SBORA_FORCE_INLINE bool done() const noexcept { return runs_ <= 0; }
  /// Cache lines to come, counted in whole runs.
  SBORA_FORCE_INLINE index_t lines() const noexcept { return runs_ * ((length_ + bytes - 1) / bytes); }
  SBORA_FORCE_INLINE const char* here() const noexcept { return run_ + at_; }
  /// Bytes of this cache line.
  SBORA_FORCE_INLINE index_t size() const noexcept { return length_ - at_ < bytes ? length_ - at_ : bytes; }

  SBORA_FORCE_INLINE void advance() noexcept {
    at_ += bytes;
    if (at_ < length_) return;
    at_ = 0;
    run_ += stride_;
    --runs_;
  }

 private:
  const char* run_;
  index_t stride_, runs_, length_;
  index_t at_ = 0;
};

/// Fetches, some lines with every call, what will be needed next: no hardware prefetcher foresees the next block of
/// rows that are used a kilobyte at a time. Into the L1 cache: rows a power of two apart push each other out of the
/// L2 cache's sets otherwise. (Zen 5, dy·W of 64 tokens: 1.1 times.)
///
/// If `room` is given, each cache line is also copied there, packed, `lead` lines after its prefetch. Prefetching alone
/// isn't enough: a cache of 1 MiB holds 256 lines of rows 8 KiB apart, and a block has 2048. (Zen 5, dy·W of 512
/// tokens, 4096 x 4096: bf16 37.3 to 35.0 ms, f32 71.0 to 69.6.)
class coming_cache_lines {
 public:
  explicit SBORA_FORCE_INLINE coming_cache_lines(const cache_line_cursor& lines, char* room = nullptr) noexcept
      : fetched_(lines), copied_(lines), room_(room) {
    if (room != nullptr) fetch_next(lead);
  }

  SBORA_FORCE_INLINE index_t lines() const noexcept { return copied_.lines(); }

  SBORA_FORCE_INLINE void fetch(index_t lines) noexcept {
    fetch_next(lines);
    if (room_ != nullptr) copy_next(lines);
  }

  /// Copies what hasn't been.
  SBORA_FORCE_INLINE void finish() noexcept {
    if (room_ != nullptr) copy_next(copied_.lines());
  }

 private:
  static constexpr index_t lead = 16;

  SBORA_FORCE_INLINE void fetch_next(index_t lines) noexcept {
    for (; lines > 0 && !fetched_.done(); --lines, fetched_.advance()) __builtin_prefetch(fetched_.here());
  }

  SBORA_FORCE_INLINE void copy_next(index_t lines) noexcept {
    for (; lines > 0 && !copied_.done(); --lines, copied_.advance()) {
      const char* const from = copied_.here();
      const index_t size = copied_.size();
      if (size == cache_line_cursor::bytes) __builtin_memcpy(room_, from, cache_line_cursor::bytes);
      else
        for (index_t i = 0; i < size; ++i) room_[i] = from[i];
      room_ += size;
    }
  }

  cache_line_cursor fetched_, copied_;
  char* room_;
};
