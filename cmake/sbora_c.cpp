// The library sbora::c: what <sbora/plugs/c.h> declares.
#include <sbora/plugs/instances.hpp>
