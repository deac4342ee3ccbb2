#include "program/plot.hpp"

#include <algorithm>
#include <cmath>

#include <fcntl.h>
#include <fmt/core.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/json_file.hpp"

namespace llama {

namespace {

/// Told apart also by the colour-blind (Okabe and Ito).
constexpr const char* settings = R"(set terminal svg noenhanced size 800,480 font "DejaVu Sans,12" background "#ffffff"
set key left top outside horizontal
set grid ytics lc "#e4e4e4"
set border 3
set tics nomirror
set linetype 1 lc "#0072b2"
set linetype 2 lc "#d55e00"
set linetype 3 lc "#009e73"
set linetype 4 lc "#cc79a7"
set linetype 5 lc "#e69f00"
set linetype 6 lc "#56b4e9"
)";

/// In single quotes, in which only they are special.
std::string quoted(const std::string& text) {
  std::string result = "'";
  for (const char c : text) result += c == '\'' ? "''" : std::string(1, c == '\n' ? ' ' : c);
  return result + "'";
}

/// A block of gnuplot's, "$line1", with a point a line. False where there is none.
bool add_data(std::string& script, std::size_t number, const plot_line& line) {
  std::string points;
  for (std::size_t i = 0; i < std::min(line.x.size(), line.y.size()); ++i) {
    if (std::isfinite(line.x[i]) && std::isfinite(line.y[i])) points += fmt::format("{} {}\n", line.x[i], line.y[i]);
  }
  if (points.empty()) return false;
  script += fmt::format("$line{} << END\n{}END\n", number, points);
  return true;
}

std::string script_of(const std::string& output, const std::string& title, const std::string& x_label,
                      const std::string& y_label, const std::vector<plot_line>& lines) {
  std::string script = settings;
  script += "set output " + quoted(output) + "\nset title " + quoted(title) + "\nset xlabel " + quoted(x_label) +
            "\nset ylabel " + quoted(y_label) + "\n";
  std::string plots;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const plot_line& line = lines[i];
    if (!add_data(script, i + 1, line)) continue;
    const std::string data = fmt::format("{}$line{}", plots.empty() ? "" : ", \\\n     ", i + 1);
    const std::string style = fmt::format("lt {} lw 2 title {}", i + 1, quoted(line.name));
    if (line.smooth && line.x.size() > 8) {
      plots += fmt::format("{} with lines lt {} lw 0.5 dt 3 notitle, \\\n     $line{} smooth bezier {}", data, i + 1,
                           i + 1, style);
    } else {
      const bool one = line.x.size() == 1;  // no line goes through it
      plots += data + (line.marks || one ? " with linespoints pt 7 ps 0.5 " : " with lines ") + style;
    }
  }
  if (plots.empty()) return script + "set xrange [0:1]\nset yrange [0:1]\nplot NaN notitle\n";
  return script + "plot " + plots + "\n";
}

/// The exit code of a program found in $PATH, which is silent; 127: it isn't there.
int run(const char* program, const std::string& argument) {
  posix_spawn_file_actions_t silent;
  posix_spawn_file_actions_init(&silent);
  posix_spawn_file_actions_addopen(&silent, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addopen(&silent, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  std::string name = program, first = argument;
  char* const arguments[] = {name.data(), first.data(), nullptr};
  pid_t child = 0;
  const int failed = posix_spawnp(&child, program, &silent, nullptr, arguments, environ);
  posix_spawn_file_actions_destroy(&silent);
  int status = 0;
  if (failed != 0 || waitpid(child, &status, 0) != child) return 127;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

}  // namespace

std::string write_plot(const std::filesystem::path& svg, const std::string& title, const std::string& x_label,
                       const std::string& y_label, const std::vector<plot_line>& lines) {
  const std::filesystem::path script = std::filesystem::path(svg).replace_extension(".gnuplot");
  write_file(script, script_of(svg.string(), title, x_label, y_label, lines));
  const int code = run("gnuplot", script.string());
  if (code == 0) return {};
  return fmt::format("no {}: gnuplot {}; gnuplot {} draws it", svg.string(),
                     code == 127 ? "isn't installed" : "failed with exit code " + std::to_string(code),
                     script.string());
}

}  // namespace llama
