#pragma once

#include <filesystem>

#include "distributed.hpp"
#include "matrix.hpp"
#include "options.hpp"

namespace llama {

/// What all parts of the program share.
struct session {
  const options& set;
  thread_pool& pool;
  const communicator& processes;
};

}  // namespace llama
