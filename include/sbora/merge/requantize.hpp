#pragma once

#include <cmath>

#include <sbora/merge/merged_row.hpp>
#include <sbora/merge/merge_rules.hpp>
#include <sbora/weights/quantize.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// Of (weight, deltas or an adapter, executor), or (weight, part, deltas, executor).
template <class... Arguments>
inline constexpr misuse misuse_of_requantising = misuse::merge_call;
template <class Weight, class Merged, class... Rest>
  requires std::is_convertible_v<Weight, four_bit_weight&>
inline constexpr misuse misuse_of_requantising<Weight, Merged, Rest...> =
    std::is_convertible_v<Merged, std::span<const weight_delta<float>>> ? misuse_of_rest<Rest...>(misuse::merge_call)
                                                                        : misuse_of_merge<float, Merged, Rest...>;
template <class Weight, class Part, class Merged, class... Rest>
  requires(std::is_convertible_v<Weight, four_bit_weight&> && std::is_same_v<std::remove_cvref_t<Part>, weight_part> &&
           std::is_convertible_v<Merged, std::span<const weight_delta<float>>>)
inline constexpr misuse misuse_of_requantising<Weight, Part, Merged, Rest...> =
    misuse_of_rest<Rest...>(misuse::merge_call);

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

/// What merge_requantized did to the weight: the blocks that it quantised anew, of how many, and how far their
/// elements are from what they were plus ΔW.
struct requantize_report {
  index_t blocks = 0;
  index_t all_blocks = 0;
  double max_error = 0;
  double mean_error = 0;
};

/// Merges deltas into the codes of a 4-bit weight, which rounds: the blocks that their regions touch are quantised
/// anew, the others are left as they are. Where nothing may be rounded, use an overlay.
///
/// Effect      W' = quantised(W + ΔW₁ + ΔW₂ + …) on the touched blocks. FA over regions of whole blocks
///             (sample_block_region with blocksize neighbours) touches rank / blocksize of them in every row; scattered
///             indices touch up to rank.
/// Shapes      deltas for the part, any rows and columns of the weight: q of a fused qkv, an expert of a stack.
///             Disabled ones are left out. Blocks that reach into what is beside the part are quantised anew with it.
/// Cost        the touched blocks, twice, in tasks of 65536 elements. Cannot be undone: keep a copy of the weight.
/// Numerics    sums as export_merged's, codes as four_bit_weight's; with nested scales as its requantize_block. Equal
///             codes and report for any executor.
/// Thread      one call at a time; nobody may use the weight meanwhile.
/// Errors      shape_error; not_finite_error with the place of the first sum that isn't finite, the weight as it was.
template <detail::executor_argument Executor = serial_executor>
requantize_report merge_requantized(four_bit_weight& weight, const weight_part& part,
                                    std::span<const weight_delta<float>> deltas, Executor&& pool = Executor{}) {
  constexpr const char* who = "sbora::merge_requantized";
  const index_t d_in = weight.d_in(), elements = weight.d_out() * d_in, blocksize = weight.blocksize();
  detail::check_range(who, "rows", part.rows, weight.d_out());
  detail::check_range(who, "columns", part.columns, d_in);
  for (const weight_delta<float>& delta : deltas) {
    detail::check_merge_shape(who, delta.d_out, delta.d_in, part.rows.size(), part.columns.size());
  }
  const four_bit_view view = weight.view();
  const detail::row_reader<four_bit_view> reader(view);
  const detail::merged_row merged(deltas);
  // f(first element, values) of the touched blocks of each task, until it returns false.
  const auto for_merged_blocks = [&](auto&& f) {
    detail::for_ranges(elements, detail::quantise_task, pool, [&](index_t task_begin, index_t task_end) {
      float values[4096];
      for (index_t begin = task_begin; begin < task_end; begin += blocksize) {
        const index_t end = std::min(task_end, begin + blocksize);
        bool touched = false;
        const auto for_rows = [&](auto&& g) {  // the block's share of each of the part's, which counts from 0
          for (index_t at = begin, next = 0; at < end; at = next) {
            const index_t row = at / d_in, first = row * d_in;
            next = std::min(end, first + d_in);
            const index_t from = std::max(at - first, part.columns.begin),
                          to = std::min(next - first, part.columns.end);
            if (row < part.rows.begin || row >= part.rows.end || from >= to) continue;
            g(row - part.rows.begin, from - part.columns.begin, to - part.columns.begin,
              values + (first + from - begin));
          }
        };
        for_rows([&](index_t row, index_t from, index_t to, float*) { touched |= merged.touches(row, from, to); });
        if (!touched) continue;
        reader.read_flat(begin, end - begin, values);
        for_rows([&](index_t row, index_t from, index_t to, float* share) { merged.add(row, from, to, share); });
        if (!f(begin, std::span<const float>(values, static_cast<std::size_t>(end - begin)))) return;
      }
    });
  };
  const auto tasks = static_cast<std::size_t>(detail::ceil_div(elements, detail::quantise_task));
  std::vector<index_t> faults(tasks, -1);
  for_merged_blocks([&](index_t begin, std::span<const float> values) {
    const auto bad = std::find_if_not(values.begin(), values.end(), [](float v) { return detail::is_finite(v); });
    if (bad == values.end()) return true;
    faults[static_cast<std::size_t>(begin / detail::quantise_task)] = begin + (bad - values.begin());
    return false;
  });
  for (const index_t element : faults) {
    if (element >= 0) detail::throw_merge_not_finite(who, element / d_in, element % d_in);
  }
  struct task_report {
    index_t blocks = 0;
    double max = 0, sum = 0, counted = 0;
  };
  std::vector<task_report> reports(tasks);
  for_merged_blocks([&](index_t begin, std::span<const float> values) {
    task_report& p = reports[static_cast<std::size_t>(begin / detail::quantise_task)];
    float rounded[4096];
    weight.requantize_block(begin / blocksize, values);
    reader.read_flat(begin, std::ssize(values), rounded);
    for (std::size_t i = 0; i < values.size(); ++i) {
      const double difference = std::fabs(static_cast<double>(rounded[i]) - static_cast<double>(values[i]));
      p.max = std::max(p.max, difference);
      p.sum += difference;
    }
    p.counted += static_cast<double>(values.size());
    ++p.blocks;
    return true;
  });
  requantize_report report{.all_blocks = detail::ceil_div(elements, blocksize)};
  double sum = 0, counted = 0;
  for (const task_report& p : reports) {
    report.blocks += p.blocks;
    report.max_error = std::max(report.max_error, p.max);
    sum += p.sum;
    counted += p.counted;
  }
  report.mean_error = counted > 0 ? sum / counted : 0;
  return report;
}

/// The same of the whole weight.
template <detail::executor_argument Executor = serial_executor>
requantize_report merge_requantized(four_bit_weight& weight, std::span<const weight_delta<float>> deltas,
                                    Executor&& pool = Executor{}) {
  return merge_requantized(weight, weight_part{{0, weight.d_out()}, {0, weight.d_in()}}, deltas, pool);
}

/// Of one adapter, enabled or not.
template <adapter_kind Kind, detail::executor_argument Executor = serial_executor>
requantize_report merge_requantized(four_bit_weight& weight, const basic_adapter<Kind, float>& adapter,
                                    Executor&& pool = Executor{}) {
  weight_delta<float> delta = adapter.delta();
  delta.enabled = true;
  return merge_requantized(weight, std::span<const weight_delta<float>>(&delta, 1), pool);
}

/// Any other arguments don't compile, and this says why.
template <class... Arguments>
  requires(detail::misuse_of_requantising<Arguments && ...> != detail::misuse::none)
requantize_report merge_requantized(Arguments&&...) {
  constexpr auto found = detail::misuse_of_requantising<Arguments&&...>;
#include <sbora/core/misuse.inl>
  return {};
}

}  // namespace sbora::inline SBORA_ABI
