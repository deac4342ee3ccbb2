#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include <sbora/model/module_list.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// A copy for inference: without gradients, its parameters in `memory`, which is made as long as they are.
template <class T>
model_adapter<T> inference_copy(const model_adapter<T>& adapter, aligned_vector<T>& memory) {
  std::vector<adapter_part> parts;
  adapter.for_each([&](const std::string& module, const auto& part) {
    parts.push_back({module, part.d_out(), part.d_in(), part.target(), part.options().alpha,
                     adapter.base_fingerprint(module), part.kind});
  });
  const std::span<const T> parameters = adapter.parameters();
  memory.assign(parameters.begin(), parameters.end());
  const adapter_kind kind = *parts[0].kind;
  model_adapter<T> copy(kind, adapter.config(), std::move(parts), {std::span<T>(memory), {}});
  copy.for_each([&](const std::string& module, auto& part) {
    adapter.visit(module, [&](const auto& from) { part.set_multiplier(from.multiplier()); });
  });
  copy.set_full_tensors(adapter.full_tensors());
  return copy;
}

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

/// An adapter as adapter_store gives it out: for inference, never changed.
///
/// Thread      immutable; any number of calls may read it.
template <class T = float>
class stored_adapter {
 public:
  const std::string& name() const& noexcept { return name_; }
  std::string name() && noexcept { return std::move(name_); }
  std::uint64_t version() const noexcept { return version_; }

  /// For mergers: adapter().visit(module, [&](const auto& part) { merger.merge(part); }).
  const model_adapter<T>& adapter() const& noexcept { return adapter_; }
  const model_adapter<T>& adapter() const&& = delete;  // would dangle: name the handle

  /// What layers compute with, on the store's module of this number: one look-up in an array. Disabled where the
  /// adapter isn't on it.
  weight_delta<T> delta(index_t module) const& { return deltas_[static_cast<std::size_t>(module)]; }
  weight_delta<T> delta(index_t module) const&& = delete;  // would dangle: name the handle

  /// What counts against a store's budget: parameters, regions, deltas and full tensors.
  index_t bytes() const noexcept { return bytes_; }

  /// For adapter_store. `living` is the bytes of all that there are, and is told of this one's beginning and end.
  stored_adapter(std::string name, std::uint64_t version, const model_adapter<T>& adapter,
                 const detail::module_list& modules, std::shared_ptr<std::atomic<index_t>> living)
      : name_(std::move(name)),
        version_(version),
        adapter_(detail::inference_copy(adapter, memory_)),
        deltas_(modules.modules().size(), weight_delta<T>{}),
        living_(std::move(living)) {
    bytes_ = static_cast<index_t>(memory_.size() * sizeof(T) + deltas_.size() * sizeof(weight_delta<T>));
    std::as_const(adapter_).for_each([&](const std::string& module, const auto& part) {
      deltas_[modules.position(module).value()] = part.delta();
      bytes_ += 3 * part.rank() * static_cast<index_t>(sizeof(index_t));
    });
    for (const full_tensor<T>& tensor : adapter_.full_tensors()) {
      bytes_ += static_cast<index_t>(tensor.values.size() * sizeof(T));
    }
    living_->fetch_add(bytes_);
  }
  stored_adapter(const stored_adapter&) = delete;
  stored_adapter& operator=(const stored_adapter&) = delete;
  ~stored_adapter() { living_->fetch_sub(bytes_); }

 private:
  std::string name_;
  std::uint64_t version_;
  detail::aligned_vector<T> memory_;
  model_adapter<T> adapter_;
  std::vector<weight_delta<T>> deltas_;
  index_t bytes_;
  std::shared_ptr<std::atomic<index_t>> living_;
};

/// Holds an adapter of a store: it stays as long as a handle does, whatever the store does. Copying one takes no lock.
template <class T = float>
using adapter_handle = std::shared_ptr<const stored_adapter<T>>;

}  // namespace sbora::inline SBORA_ABI
