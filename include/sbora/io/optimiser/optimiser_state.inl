#pragma once

#include <charconv>
#include <cstring>

#include <sbora/core/finite.hpp>
#include <sbora/io/limits.hpp>
#include <sbora/io/optimiser/optimiser_state.hpp>

namespace sbora::inline SBORA_ABI::detail {

SBORA_INSTANCE_OF std::string optimiser_key_of(std::string_view part) {
  return std::string(optimiser_key) + "." + std::string(part);
}

SBORA_INSTANCE_OF tensor_view tensor_of(const optimiser_state& part) {
  return std::visit(
      [&]<class Value>(std::span<Value> values) -> tensor_view {
        return {optimiser_key_of(part.name), dtype_of<Value>, {std::ssize(values)}, std::as_bytes(values)};
      },
      part.values);
}

/// Why that isn't what the part is put back from, or nothing.
inline std::string unlike_part(const tensor_view& found, const optimiser_state& part) {
  const tensor_view expected = tensor_of(part);
  if (found.type != expected.type || found.shape != expected.shape) {
    return "tensor '" + expected.name + "' is " + to_string(found.type) + " " + shape_text(found.shape) +
           ", expected " + to_string(expected.type) + " " + shape_text(expected.shape);
  }
  const auto all_finite = [&]<class Value>(std::span<Value> values) {
    if constexpr (std::is_floating_point_v<Value>) {
      for (std::size_t i = 0; i < values.size(); ++i) {
        Value value;  // wherever it lies
        std::memcpy(&value, found.data.data() + i * sizeof value, sizeof value);
        if (!is_finite(value)) return false;
      }
    }
    return true;
  };
  if (!std::visit(all_finite, part.values)) return "tensor '" + expected.name + "' has numbers that aren't finite";
  return {};
}

SBORA_INSTANCE_OF index_t restore_optimiser(const safetensors_file& file, std::string_view name,
                                            std::span<const optimiser_state> parts) {
  std::vector<std::string> problems;
  const auto text = [&](const std::string& key) -> std::string {
    const auto found = file.metadata().find(key);
    return found == file.metadata().end() ? std::string() : found->second;
  };
  if (const std::string found = text(optimiser_key); found != name) {
    problems.push_back(found.empty() ? "no \"" + std::string(optimiser_key) + "\" in its metadata"
                                     : "it is of " + shortened(found) + ", this is " + std::string(name));
  }
  const std::string digits = text(optimiser_key_of("steps"));
  index_t steps = -1;
  const auto [end, status] = std::from_chars(digits.data(), digits.data() + digits.size(), steps);
  if (status != std::errc() || end != digits.data() + digits.size() || steps < 0) {
    problems.push_back("\"" + optimiser_key_of("steps") + "\" in its metadata is \"" + shortened(digits) +
                       "\", expected a number that isn't negative");
  }
  for (const optimiser_state& part : parts) {
    if (part.bytes() == 0) continue;
    const tensor_view* const found = file.find(optimiser_key_of(part.name));
    std::string problem =
        found == nullptr ? "no tensor '" + optimiser_key_of(part.name) + "'" : unlike_part(*found, part);
    if (!problem.empty()) problems.push_back(std::move(problem));
  }
  if (!problems.empty()) {
    throw checkpoint_error(file.path().string() + (file.path().empty() ? "" : ": ") +
                               "not a state of this optimiser; give the one that it saved",
                           std::move(problems));
  }
  for (const optimiser_state& part : parts) {
    if (part.bytes() == 0) continue;
    const std::span<const std::byte> from = file.at(optimiser_key_of(part.name)).data;
    std::visit([&](const auto& values) { std::memcpy(values.data(), from.data(), from.size()); }, part.values);
  }
  return steps;
}

}  // namespace sbora::inline SBORA_ABI::detail
