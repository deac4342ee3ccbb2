#pragma once

#include <atomic>
#include <thread>

#include <sbora/core/aligned_memory.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// Readers of what writers replace, without a lock: a writer publishes the new in an atomic pointer, waits until nobody
/// reads the old any more, and frees that.
///
/// Effect      A reader counts itself in, loads the pointer, uses what it leads to, and counts itself out: a `section`.
///             All of it is sequentially consistent, so whoever loaded the old pointer was counted before the new one
///             was published; wait_for_readers sees both counts at zero after that, one after the other, and so
///             everybody who may have it has gone. Two counts, so that readers who come meanwhile use the other one
///             and never keep a writer waiting.
/// Requires    writers wait one at a time, and not inside a section: who calls sees to both.
/// Cost        two atomic additions a section, whatever writers do. A writer waits for the sections that are open.
/// Source      the read side of sleepable RCU (P. McKenney, Linux), with the grace period in its plainest form.
class read_sections {
 public:
  class section {
   public:
    explicit section(const read_sections& all) noexcept : readers_(all.sides_[all.side_.load()].readers) {
      readers_.fetch_add(1);
    }
    section(const section&) = delete;
    section& operator=(const section&) = delete;
    ~section() { readers_.fetch_sub(1); }

   private:
    std::atomic<unsigned>& readers_;
  };

  void wait_for_readers() noexcept {
    for (int each = 0; each < 2; ++each) {
      const unsigned old = side_.load();
      side_.store(1 - old);
      while (sides_[old].readers.load() != 0) std::this_thread::yield();
    }
  }

 private:
  struct alignas(cache_line) side {
    std::atomic<unsigned> readers{0};
  };

  std::atomic<unsigned> side_{0};
  mutable side sides_[2];
};

}  // namespace sbora::inline SBORA_ABI::detail
