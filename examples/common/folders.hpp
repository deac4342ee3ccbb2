#pragma once

#include <filesystem>
#include <string>

#include "common/programs.hpp"

namespace examples {

/// That the folder could be made and written in, as far as can be seen without writing.
/// Errors      input_error that names the option.
void check_folder(const std::string& option, const std::filesystem::path& folder);

/// Makes the folder and writes a file there, so that a typing error shows before training.
/// Errors      input_error that names the option.
void prepare_folder(const std::string& option, const std::filesystem::path& folder);

}  // namespace examples
