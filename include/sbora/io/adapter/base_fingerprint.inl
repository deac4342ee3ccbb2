#pragma once

#include <sbora/core/fnv1a.hpp>
#include <sbora/io/adapter/base_fingerprint.hpp>
#include <sbora/weights/row_reader.hpp>

namespace sbora::inline SBORA_ABI::detail {

template <float_weight Weight>
std::uint64_t fingerprint_of(const Weight& weight, adapter_kind kind, const region& target) {
  const region_geometry geometry(kind, weight.d_out(), weight.d_in(), target.rank());
  if (target.dim() != geometry.dim) {
    throw shape_error("sbora::base_fingerprint: the region is of [0, " + std::to_string(target.dim()) +
                      "), the weight is " + shape_text(weight.d_out(), weight.d_in()));
  }
  const row_reader<Weight> reader(weight);
  std::uint64_t hash = fnv1a({});
  const auto add = [&](const std::vector<float>& values) {
    hash = fnv1a({reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)}, hash);
  };
  const bool columns = geometry.form(storage::out_by_in) == region_form::columns;
  std::vector<float> line(static_cast<std::size_t>(columns ? target.rank() : weight.d_in()));
  if (columns) {
    for (index_t row = 0; row < weight.d_out(); ++row) {
      float* into = line.data();
      for (const index_t column : target.indices()) reader.read(row, column, column + 1, into++);
      add(line);
    }
  } else {
    for (const index_t row : target.indices()) {
      reader.read(row, 0, weight.d_in(), line.data());
      add(line);
    }
  }
  return hash;
}

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

SBORA_INSTANCE_OF std::uint64_t base_fingerprint(const any_weight& weight, adapter_kind kind, const region& target) {
  return weight.visit([&](const auto& view) { return detail::fingerprint_of(view, kind, target); });
}

}  // namespace sbora::inline SBORA_ABI
