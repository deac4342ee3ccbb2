#pragma once

#include <sbora/core/errors.hpp>

/// Preconditions of the hot paths: sizes of a call that construction could not check. Each is a few comparisons of
/// integers a call, so they are on in every build.
///
/// Default: throws sbora::assertion_error. Define SBORA_ASSERT(condition, message) before the first include, the
/// same in every translation unit, to put your own in place; message is an expression of type const char* that is
/// costly to form, so evaluate it only where the condition is false. sbora checks before it writes anything and on
/// the calling thread, so throwing is safe.
#if !defined(SBORA_ASSERT)
#define SBORA_ASSERT(condition, message) \
  static_cast<void>((condition) ? 0 : ::sbora::detail::assertion_failed(message, #condition))
#endif

namespace sbora::inline SBORA_ABI::detail {

[[noreturn]] SBORA_COLD inline int assertion_failed(const char* message, const char* condition) {
  throw assertion_error(detail::message({"sbora: ", message, " (", condition, ")"}));
}

}  // namespace sbora::inline SBORA_ABI::detail
