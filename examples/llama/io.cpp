// sbora's files, compiled once, with this program's flags.
#include <sbora/io/instances.hpp>
