#pragma once

namespace llama {

/// Ctrl-C and SIGTERM as a question that a loop asks between steps, so that it can leave a checkpoint behind.
///
/// Effect      while an object lives, the first SIGINT or SIGTERM is only noted; a second one ends the process
///             as it always did. The destructor puts the handlers back that were there.
/// Requires    one object at a time.
class stop_signal {
 public:
  stop_signal();
  ~stop_signal();
  stop_signal(const stop_signal&) = delete;
  stop_signal& operator=(const stop_signal&) = delete;

  /// The signal that came, or 0.
  static int caught() noexcept;
};

}  // namespace llama
