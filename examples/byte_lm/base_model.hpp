#pragma once

#include <vector>

#include "corpus.hpp"
#include "options.hpp"
#include "common/matrix.hpp"
#include "trainer.hpp"

namespace byte_lm {

/// Trains all weights of a new model on the base text. From here on they are frozen.
std::vector<float> make_base(const options& settings, const corpus& text, thread_pool& pool,
                             std::vector<loss_record>& log);

}  // namespace byte_lm
