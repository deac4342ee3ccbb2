#pragma once

/// The only place where the version is written; CMake and pkg-config read it from here.
#define SBORA_VERSION_MAJOR 0
#define SBORA_VERSION_MINOR 1
#define SBORA_VERSION_PATCH 0
