#pragma once

#include <sbora/core/workspace.hpp>
#include <sbora/executors/openmp.hpp>

namespace python {

/// As many threads as OpenMP has, which torch.set_num_threads sets: torch's wheels bring a libgomp.so.1, and who comes
/// second uses the first one's, so that torch's threads and ours are the same ones.
inline sbora::openmp_executor threads() { return sbora::openmp_executor(); }

/// Scratch of the calling thread.
inline sbora::workspace& scratch() {
  thread_local sbora::workspace memory;
  return memory;
}

}  // namespace python
