#pragma once

#include <filesystem>
#include <functional>
#include <vector>

#include "model/model.hpp"

namespace llama {

/// The bytes of a tensor in place of those that the model has, or nothing.
using replace_tensor = std::function<std::vector<std::byte>(const sbora::tensor_view&)>;

/// config.json and model.safetensors in a directory, which is made where it doesn't exist: one tensor after
/// another, so that what is replaced is in memory one at a time. Errors: sbora::file_error.
void write_model(const model& net, const std::filesystem::path& directory, const replace_tensor& replace);

}  // namespace llama
