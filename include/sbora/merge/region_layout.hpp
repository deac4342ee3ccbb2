#pragma once

#include <algorithm>
#include <vector>

#include <sbora/adapters/adapter.hpp>
#include <sbora/core/executor.hpp>
#include <sbora/kernels/dispatch.hpp>
#include <sbora/weights/weight_view.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// How a region of one kind lies in a weight, and how work on it is cut into tasks.
/// Lines run along the free dimension: output rows for FA, input columns for FB.
struct region_layout {
  region_form form;
  index_t lines;
  index_t rank;
  bool rows_along_region;  ///< of the trained half
  index_t lines_per_task;
  index_t positions_per_task;

  region_layout(const region_geometry& geometry, storage order)
      : form(geometry.form(order)),
        lines(geometry.lines),
        rank(geometry.rank),
        rows_along_region(geometry.rows_along_region),
        lines_per_task(lines),
        positions_per_task(std::max<index_t>(1, rank)) {
    if (form == region_form::columns) {
      lines_per_task = 64;
    } else if (!rows_along_region) {
      positions_per_task = 8;  // whole runs, along which the trained half lies too
    } else {
      lines_per_task = 512;
    }
  }

  index_t line_tasks() const { return ceil_div(lines, lines_per_task); }
  index_t tasks() const { return line_tasks() * ceil_div(rank, positions_per_task); }

  /// Where element (line, j) of the originals is.
  index_t original(index_t line, index_t j) const {
    return form == region_form::columns ? line * rank + j : j * lines + line;
  }

  /// f(begin, end) for the ranges of the flat trained half that a task covers.
  template <class Storage, class T, class Function>
  void for_each_range(const region_args<Storage, T>& task, Function&& f) const {
    if (rows_along_region) {  // a task takes whole lines
      f(task.line_begin * rank, task.line_end * rank);
    } else if (task.line_end - task.line_begin == lines) {
      f(task.position_begin * lines, task.position_end * lines);
    } else {
      for (index_t j = task.position_begin; j < task.position_end; ++j) {
        f(j * lines + task.line_begin, j * lines + task.line_end);
      }
    }
  }

  /// The same arguments, for one task.
  template <class Storage, class T>
  region_args<Storage, T> task(region_args<Storage, T> args, index_t number) const {
    args.line_begin = number % line_tasks() * lines_per_task;
    args.line_end = std::min(lines, args.line_begin + lines_per_task);
    args.position_begin = number / line_tasks() * positions_per_task;
    args.position_end = std::min(rank, args.position_begin + positions_per_task);
    return args;
  }
};

}  // namespace sbora::inline SBORA_ABI::detail
