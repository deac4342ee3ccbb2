#pragma once

#include <atomic>
#include <cfenv>
#include <cstdint>
#include <exception>

#include <sbora/core/index.hpp>

#if __has_include(<unistd.h>)
#include <unistd.h>
#endif

/// What the executors with threads of their own share.
namespace sbora::inline SBORA_ABI::detail {

/// The tasks of one parallel_for, handed out in order to every thread that is in run_here() or run_elsewhere().
///
/// Effect      f(i) for i in [0, size); after an exception those that haven't begun are left out.
/// Numerics    other threads compute in the maker's floating-point environment: rounding mode, flushing of
///             denormals, traps. Which exception flags they raise isn't passed back.
/// Lifetime    refers to *function; no thread may be inside when either ends.
class task_run {
 public:
  /// A pointer to a pointer, since the function may be a plain one, which no void* can hold.
  template <class Function>
  task_run(index_t size, Function* const* function) noexcept
      : size_(static_cast<std::uint64_t>(size)), function_(function) {
    call_ = [](const void* pointer, index_t i) { (**static_cast<Function* const*>(pointer))(i); };
    std::fegetenv(&environment_);
  }
  task_run(const task_run&) = delete;
  task_run& operator=(const task_run&) = delete;

  std::uint64_t size() const noexcept { return size_; }

  /// On the thread that made this.
  void run_here() noexcept {
    try {
      for (;;) {
        // Unsigned: threads that find nothing count on beyond the greatest index_t.
        const std::uint64_t i = next_.fetch_add(1, std::memory_order_relaxed);
        if (i >= size_) return;
        call_(function_, static_cast<index_t>(i));
      }
    } catch (...) {
      next_.store(size_, std::memory_order_relaxed);
      if (!failed_.test_and_set(std::memory_order_relaxed)) failure_ = std::current_exception();
    }
  }

  /// On any other thread, whose environment is as before afterwards.
  void run_elsewhere() noexcept {
    std::fenv_t before;
    std::fegetenv(&before);
    std::fesetenv(&environment_);
    run_here();
    std::fesetenv(&before);
  }

  /// When all threads have left: the first exception, thrown.
  void rethrow() const {
    if (failure_ != nullptr) std::rethrow_exception(failure_);
  }

 private:
  std::uint64_t size_;
  const void* function_;
  void (*call_)(const void*, index_t);
  std::fenv_t environment_;
  std::atomic<std::uint64_t> next_{0};
  std::atomic_flag failed_;
  std::exception_ptr failure_;
};

/// Changes where threads get lost: in the child of a fork.
inline long process_id() noexcept {
#if __has_include(<unistd.h>)
  return ::getpid();
#else
  return 0;
#endif
}

}  // namespace sbora::inline SBORA_ABI::detail
