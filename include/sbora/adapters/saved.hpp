#pragma once

#include <span>

#include <sbora/core/aligned_memory.hpp>
#include <sbora/products/activation.hpp>

namespace sbora::inline SBORA_ABI {

/// What an FA adapter needs for its backward: the rank input features of its region, not all d_in.
///
/// Shapes      gathered(): tokens × rank, after dropout; data() is the same without Eigen.
/// Lifetime    filled by a training forward, read by the backward that follows; one per forward whose
///             backward is still to come. Made from a span it uses the caller's memory.
/// Cost        tokens·rank elements; allocates when it grows, otherwise never.
/// Errors      workspace_error where the span is too small, before anything is written.
template <class T>
class fa_saved {
 public:
  using matrix_map = detail::row_major_map<const T>;

  fa_saved() = default;
  explicit fa_saved(std::span<T> memory) noexcept : memory_(memory), external_(true) {}

  index_t tokens() const noexcept { return tokens_.value; }
  index_t rank() const noexcept { return rank_; }
  matrix_map gathered() const& noexcept { return detail::map_rows<const T>(memory_.value.data(), tokens(), rank_); }
  matrix_map gathered() const&& = delete;  // would dangle: name what was saved
  const T* data() const& noexcept { return memory_.value.data(); }
  const T* data() const&& = delete;  // would dangle: name what was saved
  /// Number of the dropout mask that was applied.
  std::uint64_t dropout_step() const noexcept { return dropout_step_; }

  /// Of inputs that were gathered elsewhere: memory has tokens × rank of them, after the dropout of `dropout_step`. For
  /// autograd systems, which keep what a backward needs themselves. Errors: workspace_error.
  static fa_saved from(std::span<const T> memory, index_t tokens, index_t rank, std::uint64_t dropout_step = 0) {
    fa_saved saved(std::span<T>(const_cast<T*>(memory.data()), memory.size()));  // which a backward only reads
    saved.prepare(tokens, rank, dropout_step);
    return saved;
  }

  /// Makes room for tokens × rank; the layer's part.
  T* prepare(index_t tokens, index_t rank, std::uint64_t dropout_step) & {
    const auto needed = static_cast<std::size_t>(tokens * rank);
    if (needed > memory_.value.size()) {
      if (external_) {
        throw workspace_error(
            detail::message({"sbora::fa_saved: ", needed, " elements needed (", detail::shape_text(tokens, rank),
                             "), the span given has ", memory_.value.size()}));
      }
      owned_ = detail::make_aligned_array<T>(static_cast<index_t>(needed));
      memory_.value = {owned_.get(), needed};
    }
    tokens_.value = tokens;
    rank_ = rank;
    dropout_step_ = dropout_step;
    return memory_.value.data();
  }

 private:
  detail::aligned_array<T> owned_;
  detail::reset_on_move<std::span<T>> memory_;
  detail::reset_on_move<index_t> tokens_;
  index_t rank_ = 0;
  std::uint64_t dropout_step_ = 0;
  bool external_ = false;
};

/// What an FB adapter needs for its backward: its whole input, which it refers to.
///
/// Lifetime    keeps a pointer to the input of the training forward: the caller keeps that alive and
///             unchanged until the backward.
/// Cost        nothing is copied or allocated.
/// Input is the inputs' scalar where it isn't T: Eigen::bfloat16.
template <class T, class Input = T>
class fb_saved {
 public:
  using input_view = activation_view<const detail::stored_as<Input>>;

  index_t tokens() const noexcept { return input_.tokens; }
  input_view input() const noexcept { return input_; }
  /// Number of the dropout mask that was applied.
  std::uint64_t dropout_step() const noexcept { return dropout_step_; }

  /// Of an input that is given again, as that of the forward with `dropout_step` was: for autograd systems and
  /// recomputation.
  static fb_saved from(input_view input, std::uint64_t dropout_step = 0) noexcept {
    fb_saved saved;
    saved.refer_to(input, dropout_step);
    return saved;
  }

  /// Remembers the input; the layer's part.
  void refer_to(input_view input, std::uint64_t dropout_step) noexcept {
    input_ = input;
    dropout_step_ = dropout_step;
  }

 private:
  input_view input_{nullptr, 0, 0};
  std::uint64_t dropout_step_ = 0;
};

}  // namespace sbora::inline SBORA_ABI
