#pragma once

#include <sbora/io/adapter/full_tensors.hpp>
#include <sbora/io/adapter/token_tensors.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// An adapter's numbers in the tensors of its file, in the order of model_adapter's array.
template <class T>
struct trained_tensors {
  std::vector<const tensor_view*> halves;               ///< of each part
  std::map<std::string, const tensor_view*> full = {};  ///< by the model's names
  std::map<std::string, table_rows> tokens = {};        ///< by the tables' modules

  /// What it replaces, of a file. Errors: added to the problems.
  static trained_tensors replaced_in(const file_tensors& file, std::span<const model_module> modules,
                                     const adapter_config& config, problem_list& problems) {
    return {{},
            read_full_tensors<T>(file.others, file.halves, modules, config, problems),
            read_tokens<T>(file.tokens, modules, config, problems)};
  }

  bool empty() const noexcept { return halves.empty() && full.empty() && tokens.empty(); }
  std::vector<const tensor_view*> in_order() const {
    std::vector<const tensor_view*> all = halves;
    for (const auto& [name, tensor] : full) all.push_back(tensor);
    for (const auto& [module, of] : tokens) all.push_back(of.rows);
    return all;
  }
};

/// Where all of these are one run of numbers as they are, which an adapter can be on; otherwise nothing.
template <class T>
std::optional<std::span<const T>> one_run(std::span<const tensor_view* const> tensors) {
  if (tensors.empty()) return std::nullopt;
  const std::byte* const first = tensors.front()->data.data();
  std::size_t bytes = 0;
  for (const tensor_view* const tensor : tensors) {
    if (tensor->type != dtype_of<T> || tensor->data.data() != first + bytes) return std::nullopt;
    bytes += tensor->data.size();
  }
  if (!tensors.front()->template is_aligned<T>()) return std::nullopt;
  return std::span(static_cast<const T*>(static_cast<const void*>(first)), bytes / sizeof(T));
}

/// An adapter with these numbers. With `in_place` on them where that can be: without gradients, and not to be written.
template <class T>
model_adapter<T> adapter_of(adapter_kind kind, adapter_config config, std::vector<adapter_part> parts,
                            const trained_tensors<T>& trained, bool in_place) {
  const std::vector<const tensor_view*> all = trained.in_order();
  const std::optional<std::span<const T>> run = in_place ? one_run<T>(all) : std::nullopt;
  std::vector<std::vector<T>> copies;
  const auto values_of = [&](const tensor_view& tensor) -> std::span<T> {
    const auto count = static_cast<std::size_t>(tensor.elements());
    // Who has an adapter on them reads them only: see frozen_adapter.
    if (run) return {const_cast<T*>(tensor.values<T>().data()), count};
    copies.emplace_back(count);
    copy_exactly<T>(tensor, std::span<T>(copies.back()));
    return copies.back();
  };
  replaced_values<T> replaced;
  for (const auto& [name, tensor] : trained.full) {
    replaced.tensors.emplace_back(name, tensor->shape, values_of(*tensor), std::span<T>());
  }
  for (const auto& [module, of] : trained.tokens) {
    replaced.tokens.push_back({module, {of.target.dim(), of.features, of.target, values_of(*of.rows), {}}});
  }
  if (run) {
    const std::span<T> memory(const_cast<T*>(run->data()), run->size());
    return {kind, std::move(config), std::move(parts), adapter_memory<T>{memory, {}}, std::move(replaced)};
  }
  model_adapter<T> adapter(kind, std::move(config), std::move(parts), std::move(replaced));
  std::size_t i = 0;
  adapter.for_each([&](const std::string&, auto& part) { copy_exactly<T>(*trained.halves[i++], part.parameters()); });
  return adapter;
}

}  // namespace sbora::inline SBORA_ABI::detail
