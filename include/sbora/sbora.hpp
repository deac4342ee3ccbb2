#pragma once

/// SBoRA adapters over frozen Eigen weights: everything but the executors for thread pools and OpenMP,
/// which are sbora/executors/thread_pool.hpp and sbora/executors/openmp.hpp.

// From the bottom up, so that compilers, which name the first way to a header, name a short one in their errors.
#include <sbora/core/workspace.hpp>
#include <sbora/simd/denormal_guard.hpp>
#include <sbora/regions/region.hpp>
#include <sbora/regions/sample.hpp>
#include <sbora/regions/select.hpp>
#include <sbora/regions/set_operations.hpp>
#include <sbora/weights/weight_view.hpp>
#include <sbora/weights/convert.hpp>
#include <sbora/products/activation.hpp>
#include <sbora/layers/delta.hpp>
#include <sbora/layers/linear.hpp>
#include <sbora/optimisers/optimiser_base.hpp>
#include <sbora/optimisers/adamw.hpp>
#include <sbora/optimisers/clip.hpp>
#include <sbora/optimisers/schedule.hpp>
#include <sbora/optimisers/sgd.hpp>
#include <sbora/adapters/adapter.hpp>
#include <sbora/adapters/transposed.hpp>
#include <sbora/adapters/with_gradient.hpp>
#include <sbora/merge/merger.hpp>
#include <sbora/merge/merged_step.hpp>
#include <sbora/merge/overlay.hpp>
#include <sbora/layers/step_memory.hpp>
