#pragma once

#include <memory>

#include "multi_task/options.hpp"
#include "multi_task/subject.hpp"

namespace multi_task {

/// byte_lm's model, whose two hidden layers are adapted, with the tasks of byte_tasks.hpp.
std::unique_ptr<subject> make_byte_subject(const options& set);

}  // namespace multi_task
