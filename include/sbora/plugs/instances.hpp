#pragma once

/// What c.h declares, in one unit of a program; CMake's sbora::c is a library of it.

#include <sbora/plugs/c.inl>
