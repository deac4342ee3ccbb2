#include "data/example_batches.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

#include <sbora/core/random.hpp>

#include "common/error.hpp"

namespace llama {

namespace {

/// Numbers of random streams of a seed; the model takes others of the same seed.
constexpr std::uint64_t split_stream = std::uint64_t{0xDA7A} << 32;
constexpr std::uint64_t first_epoch_stream = split_stream + 1;

/// Fisher and Yates's shuffle.
void shuffle(std::vector<index_t>& values, std::uint64_t seed, std::uint64_t stream) {
  sbora::random_stream random(seed, stream);
  for (index_t left = std::ssize(values); left > 1; --left) {
    std::swap(values[static_cast<std::size_t>(left - 1)], values[static_cast<std::size_t>(random.below(left))]);
  }
}

}  // namespace

data_split split_data(index_t examples, index_t validation_size, std::uint64_t seed) {
  if (validation_size >= examples) {
    throw input_error("--val_set_size " + std::to_string(validation_size) + " leaves nothing of " +
                      std::to_string(examples) + " examples to train on");
  }
  std::vector<index_t> all(static_cast<std::size_t>(examples));
  std::iota(all.begin(), all.end(), index_t{0});
  shuffle(all, seed, split_stream);
  const auto border = all.begin() + validation_size;
  std::sort(all.begin(), border);
  std::sort(border, all.end());
  return {.training = {border, all.end()}, .validation = {all.begin(), border}};
}

void check_scored(const dataset& data, const data_split& split) {
  const auto check = [&](const std::vector<index_t>& chosen, const std::string& what) {
    const bool scored =
        std::ranges::any_of(chosen, [&](index_t i) { return is_scored(data.examples[static_cast<std::size_t>(i)]); });
    if (scored || chosen.empty()) return;
    throw input_error("none of the " + std::to_string(chosen.size()) + " rows " + what +
                      " has a token that is scored: their prompts fill --cutoff_len, which has to be larger; or take "
                      "other rows with --val_set_size or --seed");
  };
  check(split.training, "to train on");
  check(split.validation, "for validation");
}

token_batch padded_batch(const std::vector<example>& examples, std::span<const index_t> chosen) {
  std::vector<labelled_tokens> sequences;
  for (const index_t i : chosen) {
    const example& e = examples[static_cast<std::size_t>(i)];
    sequences.push_back({e.tokens, e.labels});
  }
  return padded_batch(sequences);
}

example_batches::example_batches(const dataset& of, std::vector<index_t> chosen, index_t micro_batch_size,
                                 order sequence, std::uint64_t seed)
    : data_(of), chosen_(std::move(chosen)), micro_batch_size_(micro_batch_size), order_(sequence), seed_(seed) {}

index_t example_batches::micro_batches() const {
  return (std::ssize(chosen_) + micro_batch_size_ - 1) / micro_batch_size_;
}

token_batch example_batches::micro_batch(index_t epoch, index_t index) const {
  if (epoch != epoch_) {
    shuffled_ = chosen_;
    if (order_ == order::shuffled) shuffle(shuffled_, seed_, first_epoch_stream + static_cast<std::uint64_t>(epoch));
    epoch_ = epoch;
  }
  const index_t first = index * micro_batch_size_;
  const index_t count = std::min(micro_batch_size_, std::ssize(chosen_) - first);
  return padded_batch(data_.examples,
                      std::span(shuffled_).subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count)));
}

}  // namespace llama
