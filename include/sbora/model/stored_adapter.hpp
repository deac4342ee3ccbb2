#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include <sbora/model/frozen_adapter.hpp>
#include <sbora/model/module_list.hpp>

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
  const model_adapter<T>& adapter() const& noexcept { return *adapter_; }
  const model_adapter<T>& adapter() const&& = delete;  // would dangle: name the handle

  /// What layers compute with, on the store's module of this number: one look-up in an array. Disabled where the
  /// adapter isn't on it.
  weight_delta<T> delta(index_t module) const& { return deltas_[static_cast<std::size_t>(module)]; }
  weight_delta<T> delta(index_t module) const&& = delete;  // would dangle: name the handle

  /// What counts against a store's budget: parameters, in memory or in a mapped file, regions and deltas.
  index_t bytes() const noexcept { return bytes_; }

  /// For adapter_store. `living` is the bytes of all that there are, and is told of this one's beginning and end.
  stored_adapter(std::string name, std::uint64_t version, frozen_adapter<T> adapter, const detail::module_list& modules,
                 std::shared_ptr<std::atomic<index_t>> living)
      : name_(std::move(name)),
        version_(version),
        adapter_(std::move(adapter)),
        deltas_(modules.modules().size(), weight_delta<T>{}),
        living_(std::move(living)) {
    bytes_ = static_cast<index_t>(adapter_->parameters().size_bytes() + deltas_.size() * sizeof(weight_delta<T>));
    const auto count_region = [&](const region& target) {
      bytes_ += 3 * target.rank() * static_cast<index_t>(sizeof(index_t));
    };
    adapter_->for_each([&](const std::string& module, const auto& part) {
      deltas_[modules.position(module).value()] = part.delta();
      count_region(part.target());
    });
    for (const table_tokens<T>& of : adapter_->tokens()) count_region(of.tokens.target());
    living_->fetch_add(bytes_);
  }
  stored_adapter(const stored_adapter&) = delete;
  stored_adapter& operator=(const stored_adapter&) = delete;
  ~stored_adapter() { living_->fetch_sub(bytes_); }

 private:
  std::string name_;
  std::uint64_t version_;
  frozen_adapter<T> adapter_;
  std::vector<weight_delta<T>> deltas_;
  index_t bytes_;
  std::shared_ptr<std::atomic<index_t>> living_;
};

/// Holds an adapter of a store: it stays as long as a handle does, whatever the store does. Copying one takes no lock.
template <class T = float>
using adapter_handle = std::shared_ptr<const stored_adapter<T>>;

}  // namespace sbora::inline SBORA_ABI
