#include "multi_status.hpp"

#include <algorithm>

#include <fmt/core.h>

#include <sbora/io/errors.hpp>

#include "base_model.hpp"

namespace sbora_tool {

namespace {

/// One kind of a module's indices, cut into cells.
struct strip {
  const sbora::model_module& module;
  sbora::adapter_kind kind;
  index_t dim;
  std::vector<std::vector<index_t>> owned;  ///< by task, in each cell
};

/// Columns or rows, as somebody owns them; of a module that nobody has, its columns.
std::vector<strip> strips_of(const sbora::region_ledger& ledger, index_t cells) {
  std::vector<strip> strips;
  for (const sbora::model_module& module : ledger.modules()) {
    const std::size_t before = strips.size();
    for (const auto kind : {sbora::adapter_kind::fa, sbora::adapter_kind::fb}) {
      const index_t dim = sbora::detail::region_geometry(kind, module.d_out, module.d_in, 1).dim;
      strip made = {module, kind, dim, {}};
      bool any = false;
      for (const sbora::ledger_task& task : ledger.tasks()) {
        auto& counts = made.owned.emplace_back(static_cast<std::size_t>(cells));
        for (const sbora::owned_region& owned : task.regions) {
          if (owned.module != module.name || owned.kind != kind) continue;
          any = true;
          for (const index_t index : owned.target.indices()) ++counts[static_cast<std::size_t>(index * cells / dim)];
        }
      }
      const bool last = kind == sbora::adapter_kind::fb;
      if (any) strips.push_back(std::move(made));
      else if (last && strips.size() == before)
        strips.push_back({module, sbora::adapter_kind::fa, module.d_in, made.owned});
    }
  }
  return strips;
}

/// The task that has most of a cell; none: the number of tasks.
std::size_t owner_of(const strip& of, std::size_t cell) {
  std::size_t owner = of.owned.size();
  index_t most = 0;
  for (std::size_t task = 0; task < of.owned.size(); ++task) {
    if (of.owned[task][cell] <= most) continue;
    most = of.owned[task][cell];
    owner = task;
  }
  return owner;
}

char letter(std::size_t task) {
  constexpr std::string_view letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
  return letters[task % letters.size()];
}

std::string colour(std::size_t task) {
  return fmt::format("hsl({:.0f},65%,{}%)",
                     static_cast<double>(task) * 137.508 -
                         360 * static_cast<double>(static_cast<int>(static_cast<double>(task) * 137.508 / 360)),
                     task % 2 == 0 ? 45 : 60);
}

std::string escaped(const std::string& text) {
  std::string made;
  for (const char c : sbora::detail::readable(text)) {
    made += c == '&' ? "&amp;" : c == '<' ? "&lt;" : c == '>' ? "&gt;" : std::string(1, c);
  }
  return made;
}

}  // namespace

std::string ledger_bars(const sbora::region_ledger& ledger) {
  constexpr index_t cells = 32;
  std::string text;
  for (std::size_t t = 0; t < ledger.tasks().size(); ++t) {
    const sbora::ledger_task& task = ledger.tasks()[t];
    index_t indices = 0;
    for (const auto& owned : task.regions) indices += owned.target.rank();
    text += fmt::format("{} {} (version {}): {} columns or rows of {} modules{}\n", letter(t),
                        sbora::detail::readable(task.name), task.version, grouped(indices), task.regions.size(),
                        task.adapter.empty() ? "" : ", " + sbora::detail::readable(task.adapter));
  }
  if (ledger.tasks().empty()) text += "no tasks\n";
  const auto capacity = ledger.capacity();
  for (const strip& of : strips_of(ledger, cells)) {
    std::string bar;
    for (std::size_t cell = 0; cell < cells; ++cell) {
      const std::size_t owner = owner_of(of, cell);
      bar += owner < ledger.tasks().size() ? letter(owner) : '.';
    }
    const auto left = std::find_if(capacity.begin(), capacity.end(),
                                   [&](const auto& of_module) { return of_module.module == of.module.name; });
    const index_t free = of.kind == sbora::adapter_kind::fa ? left->free_columns : left->free_rows;
    text += fmt::format("[{}] {:>6} of {:>6} {} free  {}\n", bar, free, of.dim, sbora::detail::region_name(of.kind),
                        sbora::detail::readable(of.module.name));
  }
  return text;
}

std::string ledger_picture(const sbora::region_ledger& ledger) {
  constexpr index_t cells = 512;
  const auto strips = strips_of(ledger, cells);
  const std::size_t legend = ledger.tasks().size();
  std::string text = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"960\" height=\"{}\" font-family=\"sans-serif\" "
      "font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
      20 * (strips.size() + legend) + 20);
  std::size_t y = 10;
  for (std::size_t task = 0; task < legend; ++task, y += 20) {
    text += fmt::format(
        "<rect x=\"10\" y=\"{}\" width=\"14\" height=\"14\" fill=\"{}\"/><text x=\"30\" y=\"{}\">{}</text>\n", y,
        colour(task), y + 11, escaped(ledger.tasks()[task].name));
  }
  for (const strip& of : strips) {
    text += fmt::format("<rect x=\"10\" y=\"{}\" width=\"{}\" height=\"14\" fill=\"#eee\"/>\n", y, cells);
    for (std::size_t cell = 0; cell < cells;) {
      const std::size_t owner = owner_of(of, cell), begin = cell;
      while (cell < cells && owner_of(of, cell) == owner) ++cell;
      if (owner == legend) continue;
      text += fmt::format("<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"14\" fill=\"{}\"/>\n", 10 + begin, y,
                          cell - begin, colour(owner));
    }
    text += fmt::format("<text x=\"{}\" y=\"{}\">{}, {} {}</text>\n", cells + 20, y + 11, escaped(of.module.name),
                        of.dim, sbora::detail::region_name(of.kind));
    y += 20;
  }
  return text + "</svg>\n";
}

}  // namespace sbora_tool
