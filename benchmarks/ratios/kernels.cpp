// The kernels of all units, compiled once.
#include <sbora/kernels/instances.hpp>
