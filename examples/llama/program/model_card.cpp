#include "program/model_card.hpp"

#include <algorithm>

#include <fmt/core.h>
#include <nlohmann/json.hpp>

#include "common/json_file.hpp"

namespace llama {
namespace {

constexpr const char* card_begin = "---\nlibrary_name: peft\ntags: [sbora, lora]\n";

/// Any text as one cell of a table.
std::string table_cell(const std::string& text) {
  std::string safe;
  for (const char c : text) {
    if (c == '|' || c == '\\' || c == '`' || c == '<' || c == '[') safe += '\\';
    safe += c == '\n' || c == '\r' ? ' ' : c;
  }
  return safe;
}

std::string table_of_losses(const model_card& card) {
  std::string rows;
  const auto row = [&](const char* name, double value, double step) {
    rows += fmt::format("| {} | {:.4f} | {:.0f} |\n", name, value, step);
  };
  const auto& [steps, values] = card.loss;
  if (!values.empty()) {
    row("training, first", values.front(), steps.front());
    row("training, last", values.back(), steps.back());
  }
  if (!card.validation.values.empty()) {
    const auto lowest = std::min_element(card.validation.values.begin(), card.validation.values.end());
    const auto at = static_cast<std::size_t>(lowest - card.validation.values.begin());
    row("validation, lowest", *lowest, card.validation.steps[at]);
    row("validation, last", card.validation.values.back(), card.validation.steps.back());
  }
  return rows.empty() ? rows : "\n## Losses\n\n| nats per scored token | | after step |\n|---|---|---|\n" + rows;
}

/// A name is text between quotes, which JSON and YAML write alike; what isn't UTF-8 in a path is replaced.
std::string yaml_text(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

std::string text_of(const model_card& card) {
  std::string text = card_begin + fmt::format("base_model: {}\n---\n\n", yaml_text(card.base_model));
  text += fmt::format(
      "# {}\n\nAn adapter of {}, made by the fine-tuner of sbora (Standard-Basis LoRA, arXiv 2407.05413).\n",
      card.title, table_cell(card.base_model));
  if (card.has_peft) text += "`peft/` has the same as a LoRA, which PEFT and others load.\n";
  text += table_of_losses(card);
  if (card.has_plot) text += "\n![loss over steps](loss.svg)\n";
  text += "\n## Options\n\n| | |\n|---|---|\n";
  for (const auto& [name, value] : card.options)
    text += fmt::format("| {} | {} |\n", table_cell(name), table_cell(value));
  return text;
}

void write_model_card(const std::filesystem::path& folder, const model_card& card) {
  const std::filesystem::path file = folder / "README.md";
  if (std::filesystem::exists(file) && !read_file(file).starts_with(card_begin)) return;
  write_file(file, text_of(card));
}

}  // namespace llama
