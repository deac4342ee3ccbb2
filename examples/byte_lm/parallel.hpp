#pragma once

#include <algorithm>

#include <sbora/executors/thread_pool.hpp>

namespace byte_lm {

using sbora::index_t;
using sbora::thread_pool;

/// Calls f(first, count) for runs of 64 rows. The runs depend on `rows` alone and each writes rows of
/// its own, so results are the same for any number of threads.
template <class Function>
void for_row_blocks(index_t rows, thread_pool& pool, Function f) {
  constexpr index_t block = 64;
  pool.parallel_for((rows + block - 1) / block, [&](index_t i) { f(i * block, std::min(block, rows - i * block)); });
}

}  // namespace byte_lm
