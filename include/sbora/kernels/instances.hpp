#pragma once

/// For programs of many units: compile all of them with SBORA_SEPARATE_KERNELS, and the kernels once: link the CMake
/// target sbora::kernels, or include this header in exactly one unit, or each instances_*.hpp in one, so that they are
/// compiled side by side. Storages that a program doesn't use need no kernels, but that of f32.
/// The unit with the kernels may have other flags than the others: -O2 where they are being debugged, a lesser -march.

#include <sbora/kernels/instances_bf16.hpp>
#include <sbora/kernels/instances_f16.hpp>
#include <sbora/kernels/instances_f32.hpp>
#include <sbora/kernels/instances_f64.hpp>
#include <sbora/kernels/instances_four_bit.hpp>
#include <sbora/kernels/instances_ggml.hpp>
#include <sbora/kernels/instances_int8.hpp>
