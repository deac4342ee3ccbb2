#pragma once

#include <cmath>
#include <cstring>

#include <sbora/merge/merged_row.hpp>
#include <sbora/merge/requantize.hpp>
#include <sbora/weights/ggml_codes.hpp>
#include <sbora/weights/ggml_view.hpp>

namespace sbora::inline SBORA_ABI {

/// What merging into ggml's blocks did to those that are touched: besides how far their elements are from what they
/// were plus ΔW (max_error, mean_error), how large ΔW is there.
struct ggml_merge_report : requantize_report {
  double mean_update = 0;  ///< of |ΔW|, over the elements that mean_error is of
};

}  // namespace sbora::inline SBORA_ABI

namespace sbora::inline SBORA_ABI::detail {

/// Sums of a merge, task by task, so that they don't depend on the executor.
struct ggml_merge_sums {
  index_t blocks = 0, elements = 0;
  double max_error = 0, error = 0, update = 0;

  void add(const ggml_merge_sums& other) noexcept {
    blocks += other.blocks;
    elements += other.elements;
    max_error = std::max(max_error, other.max_error);
    error += other.error;
    update += other.update;
  }
  ggml_merge_report report(index_t all_blocks) const noexcept {
    const double count = static_cast<double>(std::max<index_t>(elements, 1));
    ggml_merge_report made;
    made.blocks = blocks;
    made.all_blocks = all_blocks;
    made.max_error = max_error;
    made.mean_error = error / count;
    made.mean_update = update / count;
    return made;
  }
};

/// Rows [begin, end) of a weight in blocks, merged into `out`, which has room for them. A touched element gets the code
/// that is nearest to its sum; the block's scales change where they have no room for it: see requantise_ggml.
///
/// Returns     row·d_in + column of the first sum that isn't finite, or whose block's scales wouldn't be; -1: none.
inline index_t merge_ggml_rows(const ggml_view& weight, const merged_row& merged, index_range rows, std::uint8_t* out,
                               any_executor pool, ggml_merge_sums& sums) {
  const ggml_layout& layout = layout_of(weight.type());
  const row_reader<ggml_view> reader(weight);
  const index_t width = weight.d_in(), row_bytes = width / layout.elements * layout.bytes;
  const index_t at_once = std::max<index_t>(1, merged_task / width);
  struct task {
    ggml_merge_sums sums;
    index_t fault = -1;
  };
  std::vector<task> tasks(static_cast<std::size_t>(ceil_div(rows.size(), at_once)));
  const auto merge_block = [&](index_t row, index_t begin, std::uint8_t* block, task& of) {
    float before[256], wanted[256], after[256];
    const auto count = static_cast<std::size_t>(layout.elements);
    reader.read(row, begin, begin + layout.elements, before);
    std::copy_n(before, count, wanted);
    merged.add(row, begin, begin + layout.elements, wanted);
    const auto fault = std::find_if_not(wanted, wanted + count, [](float v) { return is_finite(v); });
    if (fault != wanted + count) return fault - wanted;
    const auto touched = [&](index_t i) { return wanted[i] != before[i]; };
    if (!requantise_ggml(weight.type(), block, {wanted, count}, touched)) return std::ptrdiff_t{0};
    const ggml_view written(std::span(block, static_cast<std::size_t>(layout.bytes)), weight.type(), 1,
                            layout.elements);
    row_reader<ggml_view>(written).read(0, 0, layout.elements, after);
    for (std::size_t i = 0; i < count; ++i) {
      const double error = std::fabs(static_cast<double>(after[i]) - static_cast<double>(wanted[i]));
      of.sums.max_error = std::max(of.sums.max_error, error);
      of.sums.error += error;
      of.sums.update += std::fabs(static_cast<double>(wanted[i]) - static_cast<double>(before[i]));
    }
    ++of.sums.blocks;
    of.sums.elements += layout.elements;
    return std::ptrdiff_t{-1};
  };
  for_ranges(rows.size(), at_once, pool, [&](index_t first, index_t last) {
    task& of = tasks[static_cast<std::size_t>(first / at_once)];
    for (index_t i = first; i < last; ++i) {
      const index_t row = rows.begin + i;
      std::uint8_t* const to = out + i * row_bytes;
      std::memcpy(to, weight.blocks().data() + row * weight.stride(), static_cast<std::size_t>(row_bytes));
      for (index_t begin = 0; begin < width; begin += layout.elements) {
        if (!merged.touches(row, begin, begin + layout.elements)) continue;
        const std::ptrdiff_t fault = merge_block(row, begin, to + begin / layout.elements * layout.bytes, of);
        if (fault < 0) continue;
        of.fault = row * width + begin + fault;
        return;
      }
    }
  });
  index_t fault = -1;
  for (const task& of : tasks) {
    sums.add(of.sums);
    if (fault < 0) fault = of.fault;
  }
  return fault;
}

}  // namespace sbora::inline SBORA_ABI::detail
