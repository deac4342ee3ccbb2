#pragma once

#include <sbora/core/language.hpp>

/// Functions that a program's units share instead of each compiling their own: declared in headers that everybody
/// includes, defined in *.inl files, which the instances.hpp of their folder includes, in one unit of the program
/// (CMake: linking sbora::io adds that unit). Where that is missing, the linker's "undefined reference" has the tag.
#define SBORA_IN_IO_INSTANCES [[gnu::abi_tag("include_sbora_io_instances_hpp_in_one_unit")]]
#define SBORA_IN_MODEL_INSTANCES [[gnu::abi_tag("include_sbora_model_instances_hpp_in_one_unit")]]
/// A definition of such a function. Weak: two units that have it (a library's and a program's) link.
#define SBORA_INSTANCE_OF [[gnu::weak]]
