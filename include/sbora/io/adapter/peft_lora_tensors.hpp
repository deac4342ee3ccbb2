#pragma once

#include <map>

#include <sbora/io/adapter/expert_tensors.hpp>
#include <sbora/io/adapter/full_tensors.hpp>
#include <sbora/model/name_lists.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// The tensors of a LoRA: both halves of every module, and full tensors. The one-hot halves are made piece by piece as
/// they are written, since one can be larger than all that is in memory.
template <class T>
class peft_lora_tensors {
 public:
  /// Lifetime: refers to the adapter. Errors: config_error where the one-hot halves are too large.
  explicit peft_lora_tensors(const model_adapter<T>& adapter) {
    index_t left = largest_one_hot_bytes;
    std::vector<std::pair<std::string, expert_parts<T>>> stacks;  // in the order of the parts
    adapter.for_each([&](const std::string& module, const auto& part) {
      const bool fa = trains_b(part.kind);
      const index_t rank = part.rank(), length = part.target().dim();
      const std::optional<index_t> bytes = size_product({rank, length, sizeof(T)});
      if (!bytes || (left -= *bytes) < 0) {
        throw config_error("sbora::save_peft_lora: a LoRA's one-hot halves up to module '" + module + "' (rank " +
                           std::to_string(rank) + " of " + std::to_string(length) + ") take more than " +
                           std::to_string(largest_one_hot_bytes) + " bytes; save_sbora keeps indices instead");
      }
      if (const auto member = parse_stack_member(module)) {
        if (stacks.empty() || stacks.back().first != member->first)
          stacks.emplace_back(member->first, expert_parts<T>());
        stacks.back().second.emplace_back(member->second, part.delta());
        return;
      }
      const index_t rows = part.matrix().rows(), cols = part.matrix().cols();
      if (is_embedding_name(module, adapter.config().embedding_modules)) {  // of the transposed table
        add(adapter_key(module, fa ? embedding_b : embedding_a),
            fa ? std::vector{length, rank} : std::vector{rank, length}, {&part.target(), {}, !fa});
        add(adapter_key(module, fa ? embedding_a : embedding_b), {cols, rows}, {nullptr, part.parameters(), fa, cols});
        return;
      }
      add(adapter_key(module, fa ? ".lora_A.weight" : ".lora_B.weight"),
          fa ? std::vector{rank, length} : std::vector{length, rank}, {&part.target(), {}, fa});
      add(adapter_key(module, fa ? ".lora_B.weight" : ".lora_A.weight"), {rows, cols},
          {nullptr, part.parameters(), fa});
    });
    add_stacks(stacks);
    for (const full_tensor<T>& tensor : adapter.full_tensors()) {
      add(full_tensor_key(adapter, tensor.name(), true), tensor.shape(), {nullptr, tensor.parameters(), false});
      // PEFT looks for the copy of a head that is tied to it.
      constexpr const char* head = "lm_head.weight";
      const auto is_head = [&](const full_tensor<T>& other) { return other.name() == head; };
      if (!adapter.config().ensure_weight_tying || !is_embedding_name(module_of_weight(tensor.name())) ||
          std::ranges::any_of(adapter.full_tensors(), is_head)) {
        continue;
      }
      add(full_tensor_key(adapter, head, true), tensor.shape(), {nullptr, tensor.parameters(), false});
    }
    for (const table_tokens<T>& of : adapter.tokens()) {
      add(token_key(adapter, of.module), {of.tokens.target().rank(), of.tokens.features()},
          {nullptr, of.tokens.parameters(), false});
    }
  }

  /// Without data.
  std::span<const tensor_view> tensors() const& noexcept { return tensors_; }
  std::span<const tensor_view> tensors() const&& = delete;  // would dangle: name the object

  /// A tensor's bytes, in pieces, to put.
  template <class Put>
  void write(std::string_view name, Put&& put) const {
    const half& of = halves_.find(name)->second;
    if (of.target != nullptr) write_one_hot(*of.target, of.fa, put);
    else if (of.columns > 0) write_transposed(of.trained, of.columns, put);
    else put(std::as_bytes(of.trained));
  }

 private:
  struct half {
    const region* target;  ///< of the one-hot one
    std::span<const T> trained;
    bool fa;              ///< one-hot rows, otherwise columns
    index_t columns = 0;  ///< of the trained one where its transpose is written
  };

  /// Of the stacks of one module the last one is outermost: see expert_tensors.hpp.
  void add_stacks(const std::vector<std::pair<std::string, expert_parts<T>>>& stacks) {
    std::map<std::string_view, std::size_t> inside;
    for (auto of = stacks.rbegin(); of != stacks.rend(); ++of) {
      const auto& [stack, parts] = *of;
      std::string owner(module_of(stack));
      for (std::size_t i = inside[module_of(stack)]++; i > 0; --i) owner += base_layer;
      auto& [a, b] = made_.emplace_back(halves_of_stack(stack, parts));
      const weight_delta<T>& first = parts.front().second;
      add(adapter_key(owner, ".lora_A.weight"), {std::ssize(a) / first.d_in, first.d_in}, {nullptr, a, false});
      add(adapter_key(owner, ".lora_B.weight"), {first.d_out, std::ssize(b) / first.d_out}, {nullptr, b, false});
    }
  }

  void add(std::string name, std::vector<index_t> shape, half of) {
    halves_.emplace(name, of);
    tensors_.push_back({std::move(name), dtype_of<T>, std::move(shape), {}});
  }

  template <class Put>
  static void write_one_hot(const region& target, bool fa, Put&& put) {
    const index_t rank = target.rank(), length = target.dim(), size = rank * length;
    std::vector<index_t> ones;  // where the 1s are, ascending: rank × length, or length × rank
    for (index_t i = 0; i < rank; ++i) {
      const auto at = static_cast<std::size_t>(i);
      ones.push_back(fa ? i * length + target.indices()[at] : target.sorted()[at] * rank + target.order()[at]);
    }
    std::vector<T> piece(static_cast<std::size_t>(std::min<index_t>(size, index_t{1} << 18)));
    auto next = ones.begin();
    for (index_t begin = 0; begin < size; begin += static_cast<index_t>(piece.size())) {
      std::fill(piece.begin(), piece.end(), T{0});
      const index_t end = std::min(size, begin + static_cast<index_t>(piece.size()));
      for (; next != ones.end() && *next < end; ++next) piece[static_cast<std::size_t>(*next - begin)] = T{1};
      put(std::as_bytes(std::span(piece).first(static_cast<std::size_t>(end - begin))));
    }
  }

  template <class Put>
  static void write_transposed(std::span<const T> values, index_t columns, Put&& put) {
    const auto step = static_cast<std::size_t>(columns);
    std::vector<T> line(values.size() / step);
    for (std::size_t column = 0; column < step; ++column) {
      for (std::size_t i = 0; i < line.size(); ++i) line[i] = values[i * step + column];
      put(std::as_bytes(std::span<const T>(line)));
    }
  }

  std::vector<tensor_view> tensors_;
  std::map<std::string, half, std::less<>> halves_;
  std::deque<std::pair<std::vector<T>, std::vector<T>>> made_;  // of stacks
};

}  // namespace sbora::inline SBORA_ABI::detail
