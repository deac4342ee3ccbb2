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
  bool smooth = false;    ///< the points faintly, their moving average strongly
};

/// A plot with axes, grid, labels and legend as an SVG document of its own.
std::string plot_svg(const std::string& title, const std::string& x_label, const std::string& y_label,
                     const std::vector<plot_line>& lines);

/// The same into a file. Throws input_error where it can't be written.
void write_plot(const std::filesystem::path& path, const std::string& title, const std::string& x_label,
                const std::string& y_label, const std::vector<plot_line>& lines);

}  // namespace llama
