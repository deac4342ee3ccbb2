#pragma once

#include <memory>

#include <sbora/model/model_adapter.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// What an adapter replaces, by reference: to make others of the same names and shapes.
template <class T>
replaced_values<T> replaced_of(const model_adapter<T>& adapter) {
  const auto read_only = [](std::span<const T> values) {
    return std::span<T>(const_cast<T*>(values.data()), values.size());  // nobody writes what a new adapter begins as
  };
  replaced_values<T> all;
  for (const full_tensor<T>& tensor : adapter.full_tensors()) {
    all.tensors.emplace_back(tensor.name(), tensor.shape(), read_only(tensor.parameters()), std::span<T>());
  }
  for (const table_tokens<T>& of : adapter.tokens()) {
    const basic_trainable_tokens<T>& t = of.tokens;
    all.tokens.push_back(
        {of.module, {t.vocabulary(), t.features(), t.target(), read_only(t.parameters()), std::span<T>()}});
  }
  return all;
}

/// An adapter, and what its numbers lie in.
template <class T>
struct adapter_in_memory {
  std::shared_ptr<const void> owner;
  model_adapter<T> adapter;
};

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

/// An adapter for inference that nobody changes any more, by reference: what a store serves.
///
/// Effect      of a model_adapter: a copy of its numbers, without gradients. Or the numbers where they lie, as
///             load_frozen_adapter (io/adapter/sbora_checkpoint.hpp) makes it of a mapped file.
/// Lifetime    keeps what the numbers lie in. Copies are of one adapter.
/// Thread      immutable.
template <class T = float>
class frozen_adapter {
 public:
  frozen_adapter(const model_adapter<T>& adapter) {  // NOLINT: sources of adapter_store return either
    const std::span<const T> numbers = adapter.parameters();
    auto memory = std::make_shared<detail::aligned_vector<T>>(numbers.begin(), numbers.end());
    model_adapter<T> copy(adapter.config().kind.value_or(adapter_kind::fa), adapter.config(), adapter.parts(),
                          adapter_memory<T>{std::span<T>(*memory), {}}, detail::replaced_of(adapter));
    copy.take_state(adapter);
    copy.set_enabled(true);
    adapter_.reset(new detail::adapter_in_memory<T>{std::move(memory), std::move(copy)});
  }
  /// One that has no gradients, on numbers that lie in what `owner` keeps, and that it only reads.
  frozen_adapter(std::shared_ptr<const void> owner, model_adapter<T> adapter)
      : adapter_(new detail::adapter_in_memory<T>{std::move(owner), std::move(adapter)}) {}

  const model_adapter<T>& operator*() const& noexcept { return adapter_->adapter; }
  const model_adapter<T>& operator*() const&& = delete;  // would dangle: name the adapter
  const model_adapter<T>* operator->() const& noexcept { return &adapter_->adapter; }
  const model_adapter<T>* operator->() const&& = delete;  // would dangle: name the adapter

 private:
  std::shared_ptr<const detail::adapter_in_memory<T>> adapter_;
};

}  // namespace sbora::inline SBORA_ABI
