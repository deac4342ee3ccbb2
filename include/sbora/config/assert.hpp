#pragma once

#include <sbora/config/errors.hpp>

/// Preconditions of the hot paths (shapes that construction could not check).
///
/// Default: throws sbora::assertion_error, nothing under NDEBUG. Define SBORA_ASSERT(condition, message)
/// before the first include, the same in every translation unit, to put your own in place. sbora checks
/// before it writes anything and on the calling thread, so throwing is safe.
#if !defined(SBORA_ASSERT)
#if defined(NDEBUG)
#define SBORA_ASSERT(condition, message) static_cast<void>(0)
#else
#define SBORA_ASSERT(condition, message) \
  static_cast<void>((condition) ? 0 : ::sbora::detail::assertion_failed(message, #condition))
#endif
#endif

namespace sbora::inline SBORA_ABI::detail {

[[noreturn]] inline int assertion_failed(const char* message, const char* condition) {
  throw assertion_error(std::string("sbora: ") + message + " (" + condition + ")");
}

}  // namespace sbora::inline SBORA_ABI::detail
