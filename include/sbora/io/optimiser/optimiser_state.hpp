#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include <sbora/io/safetensors/safetensors_file.hpp>
#include <sbora/io/safetensors/safetensors_writer.hpp>
#include <sbora/optimisers/optimiser.hpp>

namespace sbora::inline SBORA_ABI {

/// What a safetensors file holds of an optimiser: to be written alone (save_optimiser) or with tensors of yours.
/// Lifetime    tensors refer to the optimiser's memory.
struct optimiser_tensors {
  std::vector<tensor_view> tensors;             ///< "optimiser.first_moment" …
  std::map<std::string, std::string> metadata;  ///< "optimiser": its name, "optimiser.steps"
};

}  // namespace sbora::inline SBORA_ABI

namespace sbora::inline SBORA_ABI::detail {

inline constexpr const char* optimiser_key = "optimiser";

/// A part as a tensor "optimiser.NAME".
SBORA_IN_IO_INSTANCES std::string optimiser_key_of(std::string_view part);
SBORA_IN_IO_INSTANCES tensor_view tensor_of(const optimiser_state& part);

/// Puts the parts back, or none of them; returns the steps.
SBORA_IN_IO_INSTANCES index_t restore_optimiser(const safetensors_file& file, std::string_view name,
                                                std::span<const optimiser_state> parts);

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

/// All that an optimiser's next step depends on, besides its options.
template <optimiser Optimiser>
optimiser_tensors tensors_of(Optimiser& it) {
  optimiser_tensors all;
  for (const optimiser_state& part : it.state()) {
    if (part.bytes() > 0) all.tensors.push_back(detail::tensor_of(part));
  }
  all.metadata = {{detail::optimiser_key, Optimiser::name},
                  {detail::optimiser_key_of("steps"), std::to_string(it.steps())}};
  return all;
}

/// Writes the state as a safetensors file, whole or the old one.
/// Errors      file_error.
template <optimiser Optimiser>
void save_optimiser(const std::filesystem::path& path, Optimiser& it) {
  const optimiser_tensors all = tensors_of(it);
  write_safetensors(path, all.tensors, all.metadata);
}

/// Puts a state back, from a file of its own or one with other tensors: the next step is the one that would have
/// followed the save, to the last bit, if the options are the same.
/// Requires    an optimiser of the same kind and size, and finite numbers: checked.
/// Errors      checkpoint_error with all that is wrong, file_error, format_error; the optimiser is as before then.
template <optimiser Optimiser>
void load_optimiser(const safetensors_file& file, Optimiser& it) {
  auto parts = it.state();
  it.set_steps(detail::restore_optimiser(file, Optimiser::name, parts));
}
template <optimiser Optimiser>
void load_optimiser(const std::filesystem::path& path, Optimiser& it) {
  load_optimiser(safetensors_file::open(path), it);
}

}  // namespace sbora::inline SBORA_ABI
