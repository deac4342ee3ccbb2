// Compiled once into each target that links sbora::io, with that target's flags.
#include <sbora/io/instances.hpp>
