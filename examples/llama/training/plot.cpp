#include "training/plot.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "common/format.hpp"
#include "common/json_file.hpp"

namespace llama {

namespace {

// Sizes in SVG user units.
constexpr double width = 800, height = 480;
constexpr double left = 72, right = 24, top = 56, bottom = 56;
constexpr std::size_t most_points = 1000;

// Told apart also by the colour-blind (Okabe and Ito).
constexpr std::array colours = {"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"};

struct axis {
  double least, most, step;
  double from, to;  ///< where they are on the page

  double at(double value) const { return from + (value - least) / (most - least) * (to - from); }
  double first_tick() const { return std::ceil(least / step - 1e-9) * step; }
};

/// About `ticks` intervals of 1, 2 or 5 times a power of ten.
axis make_axis(double least, double most, int ticks, double from, double to) {
  if (!(least < most)) {
    least -= 0.5;
    most = least + 1;
  }
  const double rough = (most - least) / ticks;
  const double power = std::pow(10, std::floor(std::log10(rough)));
  const double ratio = rough / power;
  const double step = power * (ratio <= 1 ? 1 : ratio <= 2 ? 2 : ratio <= 5 ? 5 : 10);
  return {std::floor(least / step + 1e-9) * step, std::ceil(most / step - 1e-9) * step, step, from, to};
}

std::string tick_text(double value, double step) {
  const int decimals = std::max(0, static_cast<int>(std::ceil(-std::log10(step) - 1e-9)));
  const std::string text = format("%.*f", decimals, value);
  return text == "-0" ? "0" : text;
}

std::string escaped(const std::string& text) {
  std::string result;
  for (const char c : text) {
    switch (c) {
      case '&': result += "&amp;"; break;
      case '<': result += "&lt;"; break;
      case '>': result += "&gt;"; break;
      default: result += c;
    }
  }
  return result;
}

plot_line without_gaps(const plot_line& line) {
  plot_line result{.name = line.name, .x = {}, .y = {}, .marks = line.marks, .smooth = line.smooth};
  for (std::size_t i = 0; i < std::min(line.x.size(), line.y.size()); ++i) {
    if (!std::isfinite(line.x[i]) || !std::isfinite(line.y[i])) continue;
    result.x.push_back(line.x[i]);
    result.y.push_back(line.y[i]);
  }
  return result;
}

/// The mean over a window of a thirtieth of the points to either side.
std::vector<double> moving_average(const std::vector<double>& values) {
  const std::size_t reach = std::max<std::size_t>(1, values.size() / 30);
  std::vector<double> sums(values.size() + 1, 0.0);
  for (std::size_t i = 0; i < values.size(); ++i) sums[i + 1] = sums[i] + values[i];
  std::vector<double> result(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::size_t begin = i - std::min(i, reach);
    const std::size_t end = std::min(i + reach + 1, values.size());
    result[i] = (sums[end] - sums[begin]) / static_cast<double>(end - begin);
  }
  return result;
}

/// More points than pixels only make the file large; the last one is kept.
std::string path_of(const std::vector<double>& x, const std::vector<double>& y, const axis& across, const axis& up,
                    const std::string& style) {
  const std::size_t stride = x.size() / most_points + 1;
  std::string points;
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (i % stride != 0 && i + 1 != x.size()) continue;
    points += format("%s%.1f,%.1f", points.empty() ? "" : " ", across.at(x[i]), up.at(y[i]));
  }
  return "<polyline fill=\"none\" " + style + " points=\"" + points + "\"/>\n";
}

std::string text_at(double x, double y, const char* anchor, const std::string& text, const std::string& more = "") {
  return format("<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\" %s>", x, y, anchor, more.c_str()) + escaped(text) +
         "</text>\n";
}

std::string draw_axes(const axis& across, const axis& up, const std::string& x_label, const std::string& y_label) {
  const auto rule = [](double x1, double y1, double x2, double y2, const char* colour) {
    return format("<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\"/>\n", x1, y1, x2, y2, colour);
  };
  std::string svg;
  for (double tick = up.first_tick(); tick <= up.most + up.step * 1e-6; tick += up.step) {
    svg += rule(across.from, up.at(tick), across.to, up.at(tick), "#e4e4e4");
    svg += text_at(across.from - 8, up.at(tick) + 4, "end", tick_text(tick, up.step));
  }
  for (double tick = across.first_tick(); tick <= across.most + across.step * 1e-6; tick += across.step) {
    svg += rule(across.at(tick), up.from, across.at(tick), up.from + 5, "#444444");
    svg += text_at(across.at(tick), up.from + 20, "middle", tick_text(tick, across.step));
  }
  svg += rule(across.from, up.from, across.to, up.from, "#444444");
  svg += rule(across.from, up.from, across.from, up.to, "#444444");
  svg += text_at((across.from + across.to) / 2, height - 12, "middle", x_label);
  const double middle = (up.from + up.to) / 2;
  svg += text_at(18, middle, "middle", y_label, format("transform=\"rotate(-90 18 %.1f)\"", middle));
  return svg;
}

std::string draw_line(const plot_line& line, const char* colour, const axis& across, const axis& up) {
  const std::string stroke = std::string("stroke=\"") + colour + "\" stroke-linejoin=\"round\" ";
  if (line.smooth && line.x.size() > 8) {
    return path_of(line.x, line.y, across, up, stroke + "stroke-width=\"1\" stroke-opacity=\"0.25\"") +
           path_of(line.x, moving_average(line.y), across, up, stroke + "stroke-width=\"2\"");
  }
  std::string svg = path_of(line.x, line.y, across, up, stroke + "stroke-width=\"2\"");
  if (!line.marks && line.x.size() > 1) return svg;
  for (std::size_t i = 0; i < line.x.size(); ++i) {
    svg += format("<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\" fill=\"%s\"/>\n", across.at(line.x[i]), up.at(line.y[i]),
                  colour);
  }
  return svg;
}

}  // namespace

std::string plot_svg(const std::string& title, const std::string& x_label, const std::string& y_label,
                     const std::vector<plot_line>& lines) {
  std::vector<plot_line> drawn;
  double x_least = INFINITY, x_most = -INFINITY, y_least = INFINITY, y_most = -INFINITY;
  for (const plot_line& given : lines) {
    drawn.push_back(without_gaps(given));
    for (const double x : drawn.back().x) {
      x_least = std::min(x_least, x);
      x_most = std::max(x_most, x);
    }
    for (const double y : drawn.back().y) {
      y_least = std::min(y_least, y);
      y_most = std::max(y_most, y);
    }
  }
  if (x_least > x_most) x_least = y_least = 0, x_most = y_most = 1;  // nothing to draw: empty axes
  axis across = make_axis(std::min(0.0, x_least), x_most, 8, left, width - right);
  across.most = std::max(x_most, across.least + 1e-9);  // curves end at the frame, not before
  const axis up = make_axis(y_least, y_most, 6, height - bottom, top);

  std::string svg = format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" width=\"%.0f\" height=\"%.0f\" "
      "font-family=\"DejaVu Sans, Helvetica, Arial, sans-serif\" font-size=\"12\" fill=\"#222222\">\n"
      "<rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n",
      width, height, width, height);
  svg += text_at(left, 24, "start", title, "font-size=\"15\" font-weight=\"bold\"");
  svg += draw_axes(across, up, x_label, y_label);
  double legend_x = left;
  for (std::size_t i = 0; i < drawn.size(); ++i) {
    const char* colour = colours[i % colours.size()];
    svg += draw_line(drawn[i], colour, across, up);
    svg += format("<line x1=\"%.1f\" y1=\"40\" x2=\"%.1f\" y2=\"40\" stroke=\"%s\" stroke-width=\"3\"/>\n", legend_x,
                  legend_x + 18, colour);
    svg += text_at(legend_x + 24, 44, "start", drawn[i].name);
    legend_x += 48 + 7.2 * static_cast<double>(drawn[i].name.size());
  }
  return svg + "</svg>\n";
}

void write_plot(const std::filesystem::path& path, const std::string& title, const std::string& x_label,
                const std::string& y_label, const std::vector<plot_line>& lines) {
  write_file(path, plot_svg(title, x_label, y_label, lines));
}

}  // namespace llama
