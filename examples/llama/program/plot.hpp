#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace llama {

/// One line of a plot.
struct plot_line {
  std::string name;  ///< in the legend
  std::vector<double> x;
  std::vector<double> y;  ///< as many; what isn't finite is left out
  bool marks = false;     ///< dots at the points: for few, such as evaluations
  bool smooth = false;    ///< the points faintly, a smooth curve through them strongly
};

/// Draws FILE.svg with axes, grid, labels and legend: writes the gnuplot script FILE.gnuplot, data included, beside it
/// and runs gnuplot on it.
///
/// Returns     an empty text; or, where gnuplot is missing or fails, a line that says so and how to draw it later
/// Errors      sbora::file_error where the script can't be written
std::string write_plot(const std::filesystem::path& svg, const std::string& title, const std::string& x_label,
                       const std::string& y_label, const std::vector<plot_line>& lines);

}  // namespace llama
