#pragma once

#include <algorithm>
#include <vector>

#include <sbora/model/model_adapter.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// Rows of `width` numbers, row i at places[i]. Requires: as many places as rows.
template <class T>
std::vector<T> rows_at(std::span<const T> values, const std::vector<index_t>& places) {
  const std::size_t width = values.size() / places.size();
  std::vector<T> moved(values.size());
  for (std::size_t row = 0; row < places.size(); ++row) {
    std::copy_n(values.begin() + static_cast<std::ptrdiff_t>(row * width), width,
                moved.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(places[row]) * width));
  }
  return moved;
}

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

/// The adapter of the same weights with their rows in another order, to the last bit of what it computes.
///
/// Effect      row i of a module's weight becomes row places_of(module, d_out)[i], which are a permutation; those of a
///             module for which it returns none stay. Regions of rows and trained halves follow, and full tensors that
///             are a module's weight or bias. Fingerprints of base weights are left out: those lie otherwise.
/// Cost        a copy.
template <class T, class PlacesOf>
model_adapter<T> with_rows_at(const model_adapter<T>& adapter, PlacesOf&& places_of) {
  std::vector<adapter_part> parts = adapter.parts();
  std::vector<std::vector<index_t>> places;
  for (adapter_part& part : parts) {
    part.base_fingerprint.reset();
    places.push_back(places_of(part.module, part.d_out));
    if (places.back().empty() || part.kind != detail::row_kind) continue;
    std::vector<index_t> rows;
    for (const index_t row : part.target.indices()) rows.push_back(places.back()[static_cast<std::size_t>(row)]);
    part.target = region(part.d_out, std::move(rows));
  }
  replaced_values<T> replaced;
  for (const full_tensor<T>& tensor : adapter.full_tensors()) {
    const std::span<const T> values = tensor.parameters();
    std::vector<index_t> to;
    if (!tensor.shape().empty()) to = places_of(std::string(detail::module_of(tensor.name())), tensor.shape()[0]);
    replaced.tensors.emplace_back(
        tensor.name(), tensor.shape(),
        to.empty() ? std::vector<T>(values.begin(), values.end()) : detail::rows_at(values, to));
  }
  std::vector<std::vector<T>> tokens;
  for (const table_tokens<T>& of : adapter.tokens()) {
    const std::span<const T> values = of.tokens.parameters();
    tokens.emplace_back(values.begin(), values.end());
    replaced.tokens.push_back(
        {of.module, {of.tokens.vocabulary(), of.tokens.features(), of.tokens.target(), tokens.back(), {}}});
  }
  const adapter_kind kind = adapter.config().kind.value_or(detail::row_kind);
  model_adapter<T> moved(kind, adapter.config(), std::move(parts), std::move(replaced));
  moved.take_state(adapter);
  std::size_t number = 0;
  moved.for_each([&](const std::string& module, auto& part) {
    const std::vector<index_t>& to = places[number++];
    adapter.visit(module, [&](const auto& from) {
      const std::span<const T> values = from.parameters();
      if (to.empty() || from.kind == detail::row_kind)
        std::copy(values.begin(), values.end(), part.parameters().begin());
      else std::ranges::copy(detail::rows_at(values, to), part.parameters().begin());
    });
  });
  return moved;
}

}  // namespace sbora::inline SBORA_ABI
