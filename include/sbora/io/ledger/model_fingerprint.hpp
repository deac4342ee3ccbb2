#pragma once

#include <sbora/core/compiled_once.hpp>
#include <sbora/io/checkpoint/checkpoint.hpp>

namespace sbora::inline SBORA_ABI {

/// A number that tells a whole model apart: of all its tensors.
///
/// Covers      every tensor's name, type, shape and bytes, but for one change in 2^64; not how it is cut into shards,
///             in which order its tensors lie, and its metadata. base_fingerprint is that of an adapter's region alone.
/// Cost        one pass over the files, about a second a GB; a few MiB of memory.
/// Numerics    64-bit FNV-1a over the tensors in the order of their names: the name, a zero byte, the type's name, the
///             shape as in [2, 3], a zero byte, the 64-bit FNV-1a of the bytes in hexadecimal.
/// Errors      none of its own.
SBORA_IN_IO_INSTANCES std::uint64_t model_fingerprint(const checkpoint& model);

}  // namespace sbora::inline SBORA_ABI
