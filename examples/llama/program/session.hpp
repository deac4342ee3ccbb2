#pragma once

#include <filesystem>

#include "training/distributed.hpp"
#include "common/matrix.hpp"
#include "program/options.hpp"

namespace llama {

/// What all parts of the program share.
struct session {
  const options& set;
  thread_pool& pool;
  const communicator& processes;
};

}  // namespace llama
