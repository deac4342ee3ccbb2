#pragma once

#include <algorithm>

#include <Eigen/Core>
#include <sbora/executors/thread_pool.hpp>

#include "common/programs.hpp"

namespace examples {

using sbora::index_t;
using sbora::thread_pool;

/// Activations are tokens x features; weights d_out x d_in, as PyTorch keeps them.
template <class T>
using matrix_of = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using matrix = matrix_of<float>;

/// Calls f(first, count) for runs of rows. The runs depend on `rows` alone and each writes rows of its
/// own, so results are the same for any number of threads.
template <class Function>
void for_row_blocks(index_t rows, thread_pool& pool, Function f, index_t block = 32) {
  pool.parallel_for((rows + block - 1) / block, [&](index_t i) { f(i * block, std::min(block, rows - i * block)); });
}

}  // namespace examples
