#pragma once

#include <algorithm>
#include <cmath>
#include <span>

#include <sbora/core/option.hpp>
#include <sbora/model/module_list.hpp>
#include <sbora/regions/set_operations.hpp>

namespace sbora::inline SBORA_ABI {

/// How the updates ΔWᵢ of adapters become one, element by element; PEFT's names.
enum class combination {
  linear,           ///< Σ wᵢ·ΔWᵢ
  cat,              ///< the same of regions that have nothing in common: refused where they have
  magnitude_prune,  ///< Σ wᵢ·trim(ΔWᵢ)
  ties,             ///< Σ wᵢ·trim(ΔWᵢ) / n over the n of them whose sign is that of Σ trim(ΔWᵢ)
  dare_linear,      ///< Σ wᵢ·drop(ΔWᵢ)
  dare_ties         ///< as ties, of drop(ΔWᵢ)
};

struct combine_options {
  combination method = combination::linear;
  double density = 1;               ///< what trim and drop keep; (0, 1]
  bool signs_by_frequency = false;  ///< ties: the sign that more have, instead of that of the sum
  std::uint64_t seed = 0;           ///< of drop
};

/// Lifetime: refers to the adapter.
template <class T>
struct weighted_adapter {
  const model_adapter<T>* adapter;
  double weight = 1;  ///< any finite number; with 0 it is left out, its region too
};

}  // namespace sbora::inline SBORA_ABI

namespace sbora::inline SBORA_ABI::detail {

/// One adapter's update of one module, and which of its elements are left of it.
template <class T>
class thinned_delta {
 public:
  /// `number`: of the adapter, for its own random numbers.
  thinned_delta(const weight_delta<T>& delta, double weight, const combine_options& options, std::uint64_t seed,
                std::uint32_t number)
      : delta_(delta), geometry_(delta.geometry()), weight_(weight), seed_(seed), number_(number) {
    using enum combination;
    drops_ = options.method == dare_linear || options.method == dare_ties;
    if (drops_) density_ = options.density;
    if (options.method == ties || options.method == magnitude_prune) trim(options.density);
  }

  const region& target() const { return *delta_.target; }
  double weight() const { return weight_; }

  /// Element of a line and of the region's index at `position`: as a merge adds it, or 0, over the density if dropping.
  double value(index_t line, index_t position) const {
    const index_t at = line * geometry_.line_stride() + position * geometry_.index_stride();
    const T element = delta_.scale * delta_.parameters[at];
    if (drops_) return is_kept(at) ? static_cast<double>(element) / density_ : 0;
    const double magnitude = std::abs(static_cast<double>(element));
    const bool kept = magnitude > least_ || (magnitude == least_ && at <= last_of_least_);
    return kept ? static_cast<double>(element) : 0;
  }

 private:
  /// Keeps the floor(density·size) greatest, of equal ones the first.
  void trim(double density) {
    const auto size = static_cast<std::size_t>(geometry_.rank * geometry_.lines);
    const auto count = static_cast<std::size_t>(std::floor(density * static_cast<double>(size)));
    if (count >= size) return;
    std::vector<std::pair<double, index_t>> order(size);  // the greatest first
    for (std::size_t i = 0; i < size; ++i) {
      order[i] = {-std::abs(static_cast<double>(delta_.scale * delta_.parameters[i])), static_cast<index_t>(i)};
    }
    if (count == 0) {
      least_ = std::numeric_limits<double>::infinity();
      return;
    }
    const auto last = order.begin() + static_cast<std::ptrdiff_t>(count - 1);
    std::nth_element(order.begin(), last, order.end());
    least_ = -last->first;
    last_of_least_ = last->second;
  }

  bool is_kept(index_t at) const {
    const auto position = static_cast<std::uint64_t>(at);
    const auto words = philox4x32(
        {static_cast<std::uint32_t>(position), static_cast<std::uint32_t>(position >> 32), number_, 0}, seed_);
    const std::uint64_t word = words[0] | std::uint64_t{words[1]} << 32;
    return static_cast<double>(word >> 11) * 0x1p-53 < density_;
  }

  weight_delta<T> delta_;
  region_geometry geometry_;
  double weight_;
  std::uint64_t seed_;
  std::uint32_t number_;
  bool drops_ = false;
  double density_ = 1;
  double least_ = -1;  // all are above
  index_t last_of_least_ = -1;
};

/// The element that the updates' elements become.
inline double combined(std::span<const std::pair<double, double>> weighted, bool elects, bool by_frequency) {
  double sum = 0;
  if (!elects) {
    for (const auto& [weight, value] : weighted) sum += weight * value;
    return sum;
  }
  double direction = 0;
  for (const auto& [weight, value] : weighted) {
    direction += by_frequency ? static_cast<double>((value > 0) - (value < 0)) : value;
  }
  double count = 0;
  for (const auto& [weight, value] : weighted) {
    if (direction >= 0 ? !(value > 0) : !(value < 0)) continue;
    sum += weight * value;
    ++count;
  }
  return sum / std::max(count, 1.0);
}

/// What the modules of the result are, from those of the adapters. Errors: checkpoint_error with every problem.
template <class T>
std::vector<adapter_part> combined_parts(std::span<const weighted_adapter<T>> adapters, combination method) {
  problem_list problems;
  std::vector<adapter_part> parts;
  std::unordered_map<std::string, std::size_t> positions;
  for (std::size_t i = 0; i < adapters.size(); ++i) {
    const model_adapter<T>& adapter = *adapters[i].adapter;
    const std::string who = message({"adapter ", i, ": "});
    if (adapter.config().fan_in_fan_out != adapters[0].adapter->config().fan_in_fan_out) {
      problems.add(who + "its fan_in_fan_out isn't that of adapter 0");
    }
    if (!adapter.full_tensors().empty()) {
      problems.add(who + "it replaces whole tensors, such as '" + adapter.full_tensors().front().name() +
                   "', which can't be combined");
    }
    if (!adapter.tokens().empty()) {
      problems.add(who + "it replaces tokens of '" + adapter.tokens().front().module + "', which can't be combined");
    }
    adapter.for_each([&](const std::string& module, const auto& part) {
      const auto [place, is_new] = positions.emplace(module, parts.size());
      if (is_new) {
        parts.push_back({module, part.d_out(), part.d_in(), part.target(), 1, {}, part.kind});
        return;
      }
      adapter_part& before = parts[place->second];
      if (before.d_out != part.d_out() || before.d_in != part.d_in()) {
        problems.add(who + unlike_module({module, before.d_out, before.d_in}, part.d_out(), part.d_in()));
      } else if (before.kind != part.kind) {
        problems.add(message({who, "module '", module, "' is ", to_string(part.kind), ", another adapter's is ",
                              to_string(*before.kind), "; columns cross rows"}));
      } else if (method == combination::cat && overlaps(before.target, part.target())) {
        problems.add(
            message({who, "module '", module, "': it shares ", shared_indices(before.target, part.target()).size(), " ",
                     region_name(part.kind), " with the adapters before it; combine them by another method"}));
      } else {
        before.target = region_union(before.target, part.target());
      }
    });
  }
  problems.throw_if_any("the adapters can't be combined", "combine adapters of one base, on like modules");
  for (adapter_part& part : parts) {
    const auto sorted = part.target.sorted();
    part.target = region(part.target.dim(), std::vector<index_t>(sorted.begin(), sorted.end()));
    part.alpha = static_cast<double>(part.target.rank());  // scale 1
  }
  return parts;
}

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

/// One adapter whose update is what the method makes of those of several: an adapter like any, to be saved, exported,
/// merged and undone.
///
/// Effect      of each module that any of them has, over the union of their regions, ascending; scale 1. ΔWᵢ is what a
///             merge of adapter i adds, scale and multiplier in it. trim keeps the ⌊density·parameters⌋ elements of
///             greatest magnitude of each adapter's part, of equal ones the first; drop keeps each with probability
///             density, divided by density. Of disjoint regions every method is a sum without conflicts, and ties is
///             magnitude_prune.
/// Requires    one kind for a module; one fan_in_fan_out; no full tensors, no tokens.
/// Cost        O(elements of the union·adapters); trim O(parameters) of one part at a time.
/// Numerics    sums in double over the adapters in their order, rounded once. With weights of 1 on disjoint regions,
///             merging the result gives the bits of merging all, in any order. drop: element e of adapter i's part is
///             kept where the upper 53 bits of philox4x32({e, e >> 32, i, 0}, module_seed(seed, module, 2)) are below
///             density·2⁵³, e counting the trained half as it lies; left out ones count in i.
/// Errors      config_error: no adapters, all weights 0, options out of range; checkpoint_error with every problem of
///             the adapters; not_finite_error for a result that isn't.
/// Source      TIES: arXiv 2306.01708; DARE: 2311.03099; as PEFT's add_weighted_adapter has them for dense tensors.
template <class T>
model_adapter<T> combine(std::span<const weighted_adapter<T>> adapters, const combine_options& options = {}) {
  constexpr const char* who = "sbora::combine";
  detail::check_option(who, "density", detail::option_range::up_to_one, options.density);
  detail::check_option(who, "density", detail::option_range::positive, options.density);
  std::vector<weighted_adapter<T>> used;
  std::vector<std::uint32_t> numbers;
  for (std::size_t i = 0; i < adapters.size(); ++i) {
    detail::check_option(who, "weight", detail::option_range::number, adapters[i].weight);
    if (adapters[i].weight == 0) continue;
    used.push_back(adapters[i]);
    numbers.push_back(static_cast<std::uint32_t>(i));
  }
  if (used.empty()) throw config_error(detail::message({who, ": no adapter has a weight other than 0"}));
  auto parts = detail::combined_parts(std::span<const weighted_adapter<T>>(used), options.method);
  adapter_config config = used[0].adapter->config();
  config.use_rslora = false;
  config.lora_dropout = 0;
  config.kind_pattern.clear();
  config.sbora.reset();
  const adapter_kind kind = *parts[0].kind;
  config.kind = kind;
  model_adapter<T> result(kind, std::move(config), std::move(parts));
  const bool elects = options.method == combination::ties || options.method == combination::dare_ties;
  std::vector<std::pair<double, double>> values;
  result.for_each([&](const std::string& module, auto& part) {
    std::vector<detail::thinned_delta<T>> deltas;
    for (std::size_t i = 0; i < used.size(); ++i) {
      if (!used[i].adapter->has(module)) continue;
      deltas.emplace_back(used[i].adapter->delta(module), used[i].weight, options, module_seed(options.seed, module, 2),
                          numbers[i]);
    }
    std::vector<std::pair<const detail::thinned_delta<T>*, index_t>> places;  // of one index
    const detail::region_geometry geometry = part.delta().geometry();
    for (index_t j = 0; j < geometry.rank; ++j) {
      const index_t index = part.target().indices()[static_cast<std::size_t>(j)];
      places.clear();
      for (const auto& delta : deltas) {
        const index_t position = delta.target().position_of(index);
        if (position >= 0) places.emplace_back(&delta, position);
      }
      for (index_t line = 0; line < geometry.lines; ++line) {
        values.clear();
        for (const auto& [delta, position] : places) {
          values.emplace_back(delta->weight(), delta->value(line, position));
        }
        const T value = static_cast<T>(detail::combined(values, elects, options.signs_by_frequency));
        if (!detail::is_finite(value)) {
          throw not_finite_error(
              detail::message({who, ": module '", module, "' row ", geometry.weight_row(line, index), ", column ",
                               geometry.weight_col(line, index), " would not be finite"}),
              geometry.weight_row(line, index), geometry.weight_col(line, index));
        }
        part.parameters()[static_cast<std::size_t>(line * geometry.line_stride() + j * geometry.index_stride())] =
            value;
      }
    }
  });
  return result;
}

template <class T>
model_adapter<T> combine(const std::vector<weighted_adapter<T>>& adapters, const combine_options& options = {}) {
  return combine(std::span<const weighted_adapter<T>>(adapters), options);
}

}  // namespace sbora::inline SBORA_ABI
