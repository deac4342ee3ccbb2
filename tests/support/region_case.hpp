#pragma once

#include <string>

#include "support/guarded_buffer.hpp"
#include "support/levels.hpp"
#include "support/random_values.hpp"
#include "support/storage_formats.hpp"

namespace sbora_tests {

using sbora::detail::region_form;

/// A region of a weight in guarded memory, as kernels/arguments.hpp lays it out, addressed by
/// (line, position) whatever the form and the order of the trained half.
template <class Storage>
struct region_case {
  using T = sbora::detail::compute_of<Storage>;

  struct shape {
    region_form form;
    index_t rank, lines, dim;
    bool trained_along_lines;  ///< its stride over lines is 1, otherwise the one over positions
  };

  shape is;
  guarded_buffer<index_t> index;
  guarded_matrix<Storage> weight;
  guarded_buffer<Storage> originals;
  guarded_matrix<T> trained;
  T scale = 1;

  region_case(shape shape_, index_t gap, guard side, random_values& random)
      : is(shape_),
        index(is.rank, side),
        weight(columns() ? is.lines : is.dim, columns() ? is.dim : is.lines, (columns() ? is.dim : is.lines) + gap,
               side),
        originals(is.lines * is.rank, side),
        trained(is.trained_along_lines ? is.rank : is.lines, is.trained_along_lines ? is.lines : is.rank,
                (is.trained_along_lines ? is.lines : is.rank) + gap, side) {
    random.distinct(is.dim, index);
  }

  bool columns() const { return is.form == region_form::columns; }

  /// Where an element of the region lies in the memory of the weight and of the originals.
  std::size_t weight_at(index_t line, index_t j) const {
    return static_cast<std::size_t>(columns() ? line * weight.stride() + index[j] : index[j] * weight.stride() + line);
  }
  std::size_t original_at(index_t line, index_t j) const {
    return static_cast<std::size_t>(columns() ? line * is.rank + j : j * is.lines + line);
  }
  Storage& original(index_t line, index_t j) const { return originals.data()[original_at(line, j)]; }
  T& trained_value(index_t line, index_t j) const {
    return is.trained_along_lines ? trained(j, line) : trained(line, j);
  }

  /// The lines and positions that one call handles. The kernels of columns take all positions.
  struct part {
    index_t line_begin, line_end, position_begin, position_end;
    template <class Function>
    void for_each(Function&& f) const {
      for (index_t line = line_begin; line < line_end; ++line) {
        for (index_t j = position_begin; j < position_end; ++j) f(line, j);
      }
    }
  };
  part whole() const { return {0, is.lines, 0, is.rank}; }
  /// Without the first and last line, and position.
  part inner() const {
    const auto last = [](index_t n) { return n > 2 ? n - 1 : n; };
    const index_t from_line = is.lines > 2 ? 1 : 0;
    const index_t from_position = is.rank > 2 && !columns() ? 1 : 0;
    return {from_line, last(is.lines), from_position, columns() ? is.rank : last(is.rank)};
  }

  sbora::detail::region_args<Storage, T> args(const part& p) const {
    return {weight.data(),
            weight.stride(),
            index.data(),
            is.rank,
            is.lines,
            originals.data(),
            trained.data(),
            is.trained_along_lines ? 1 : trained.stride(),
            is.trained_along_lines ? trained.stride() : 1,
            scale,
            p.line_begin,
            p.line_end,
            p.position_begin,
            p.position_end};
  }
  const auto& kernels(sbora::isa level) const {
    const auto& table = sbora::detail::get_kernels<sbora::detail::merge_kernels<Storage>>(level);
    return columns() ? table.columns : table.rows;
  }

  std::string text(sbora::isa level) const {
    return std::string(sbora::to_string(level)) + (columns() ? ", columns" : ", rows") + ", rank " +
           std::to_string(is.rank) + " of " + std::to_string(is.dim) + ", " + std::to_string(is.lines) +
           " lines, trained along " + (is.trained_along_lines ? "lines" : "positions") + ", strides " +
           std::to_string(weight.stride()) + " and " + std::to_string(trained.stride());
  }
};

/// originals + scale·trained: the product and the sum rounded one by one, then to the storage.
template <class Storage, class T>
Storage merged_value(Storage original, T scale, T trained) {
  volatile T product = scale * trained;  // volatile: not contracted into a fused multiply-add
  volatile T sum = value_of(original) + product;
  return stored_as<Storage, T>(sum);
}

}  // namespace sbora_tests
