#pragma once

/// sbora in PyTorch's C++ programs (libtorch): layers that are torch::nn::Modules, an adapter for a whole model, and
/// PyTorch's threads for sbora's calls. CMake: find_package(Torch), then sbora's component torch.

#include <sbora/plugs/torch_executor.hpp>
#include <sbora/plugs/torch_linear.hpp>
#include <sbora/plugs/torch_model.hpp>
