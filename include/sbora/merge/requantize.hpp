#pragma once

#include <cmath>
#include <vector>

#include <sbora/merge/export_merged.hpp>
#include <sbora/merge/merge_rules.hpp>
#include <sbora/core/finite.hpp>
#include <sbora/weights/quantize.hpp>

namespace sbora::inline SBORA_ABI {

/// What merge_requantized did to the weight: the blocks that it quantised anew, of how many, and how far their
/// elements are from what they were plus ΔW.
struct requantize_report {
  index_t blocks = 0;
  index_t all_blocks = 0;
  double max_error = 0;
  double mean_error = 0;
};

}  // namespace sbora::inline SBORA_ABI

namespace sbora::inline SBORA_ABI::detail {

/// The blocks that hold an element of the region, ascending.
inline std::vector<index_t> touched_blocks(const weight_delta<float>& delta, index_t blocksize) {
  std::vector<index_t> blocks;
  const auto add = [&](index_t first, index_t last) {  // elements, inclusive
    for (index_t block = first / blocksize; block <= last / blocksize; ++block) {
      if (blocks.empty() || blocks.back() < block) blocks.push_back(block);
    }
  };
  if (delta.kind == adapter_kind::fa) {
    for (index_t row = 0; row < delta.d_out; ++row) {
      for (const index_t index : delta.target->sorted()) add(row * delta.d_in + index, row * delta.d_in + index);
    }
  } else {
    for (const index_t index : delta.target->sorted()) add(index * delta.d_in, (index + 1) * delta.d_in - 1);
  }
  return blocks;
}

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

/// Merges an adapter into the codes of a 4-bit weight, which rounds: the blocks that its region touches are
/// quantised anew, the others are left as they are. Where nothing may be rounded, use an overlay.
///
/// Effect      W' = quantised(W + round(s·B)) on the touched blocks. FA over regions of whole blocks
///             (sample_block_region with blocksize neighbours) touches rank / blocksize of them in every row; scattered
///             indices touch up to rank.
/// Shapes      an adapter for the weight.
/// Cost        the touched blocks, twice, and a list of them. Cannot be undone: keep a copy of the weight.
/// Numerics    as four_bit_weight; with nested scales as its requantize_block.
/// Thread      one call at a time; nobody may use the weight meanwhile.
/// Errors      shape_error; not_finite_error with the place of the first sum that isn't finite, the weight as it was.
template <adapter_kind Kind>
requantize_report merge_requantized(four_bit_weight& weight, const basic_adapter<Kind, float>& adapter) {
  detail::check_merge_shape("sbora::merge_requantized", adapter, weight.d_out(), weight.d_in());
  const weight_delta<float> delta = adapter.delta();
  const index_t blocksize = weight.blocksize(), d_in = weight.d_in();
  const index_t elements = weight.d_out() * d_in;
  const four_bit_view view = weight.view();
  const detail::row_reader<four_bit_view> reader(view);
  float values[4096], rounded[4096];
  const auto merged_block = [&](index_t block) {
    const index_t begin = block * blocksize, count = std::min(blocksize, elements - begin);
    reader.read_flat(begin, count, values);
    for (index_t at = begin; at < begin + count;) {
      const index_t row = at / d_in, end = std::min(begin + count, (row + 1) * d_in);
      detail::add_delta_to_row(delta, row, at - row * d_in, end - row * d_in, values + (at - begin));
      at = end;
    }
    return count;
  };
  const std::vector<index_t> blocks = detail::touched_blocks(delta, blocksize);
  for (const index_t block : blocks) {
    const index_t count = merged_block(block);
    for (index_t i = 0; i < count; ++i) {
      if (detail::is_finite(values[i])) continue;
      const index_t element = block * blocksize + i;
      throw not_finite_error("sbora::merge_requantized: merging would leave row " + std::to_string(element / d_in) +
                                 ", column " + std::to_string(element % d_in) + " of the weight not finite",
                             element / d_in, element % d_in);
    }
  }
  requantize_report report;
  report.blocks = static_cast<index_t>(blocks.size());
  report.all_blocks = detail::ceil_div(elements, blocksize);
  double sum = 0, counted = 0;
  for (const index_t block : blocks) {
    const index_t count = merged_block(block);
    weight.requantize_block(block, {values, static_cast<std::size_t>(count)});
    reader.read_flat(block * blocksize, count, rounded);
    for (index_t i = 0; i < count; ++i) {
      const double difference = std::fabs(static_cast<double>(rounded[i]) - static_cast<double>(values[i]));
      report.max_error = std::max(report.max_error, difference);
      sum += difference;
    }
    counted += static_cast<double>(count);
  }
  report.mean_error = counted > 0 ? sum / counted : 0;
  return report;
}

}  // namespace sbora::inline SBORA_ABI
