#include <algorithm>
#include <cstdio>
#include <map>

#include <fmt/core.h>

#include "base_model.hpp"
#include "commands.hpp"

namespace sbora_tool {

namespace {

void line(const char* what, const std::string& value) {
  std::printf("%-22s%s\n", what, sbora::detail::readable(value).c_str());
}

/// The first few, and how many more; all with --list.
void lines(const char* what, const std::vector<std::string>& values, bool list, std::size_t few) {
  for (std::size_t i = 0; i < values.size() && (i < few || list); ++i) line(what, values[i]);
  if (!list && values.size() > few) line("", "and " + std::to_string(values.size() - few) + " more; --list");
}

std::string number(double value) { return fmt::format("{:g}", value); }

/// "8", or "2 to 8".
template <class Value, class Text>
std::string range(const std::vector<Value>& values, Text&& text) {
  const auto [least, most] = std::minmax_element(values.begin(), values.end());
  return *least == *most ? text(*least) : text(*least) + " to " + text(*most);
}

void print_config(const fs::path& path, const sbora::read_config& read, bool list) {
  const sbora::adapter_config& config = read.config;
  line("folder", path.string());
  line("layout", config.sbora                  ? "native"
                 : config.peft_type == "SBORA" ? "official"
                 : config.peft_type == "PACA"  ? "PaCA"
                                               : "PEFT");
  if (config.base_model_name_or_path) line("base model", *config.base_model_name_or_path);
  if (config.fan_in_fan_out) line("weights", "d_in x d_out (fan_in_fan_out)");
  if (config.sbora && config.sbora->seed) line("seed", std::to_string(*config.sbora->seed));
  lines("not honoured", read.skipped, list, 8);
}

void print_tensors(std::span<const sbora::tensor_view> tensors) {
  for (const sbora::tensor_view& tensor : tensors) {
    std::printf("%-9s %-20s %s\n", to_string(tensor.type), shape_text(tensor.shape).c_str(), tensor.name.c_str());
  }
}

void print_adapter(const sbora::model_adapter<float>& adapter, bool list) {
  std::vector<index_t> ranks;
  std::vector<double> scales;
  int fingerprints = 0;
  adapter.for_each([&](const std::string& module, const auto& part) {
    ranks.push_back(part.rank());
    scales.push_back(part.scale());
    fingerprints += adapter.base_fingerprint(module) ? 1 : 0;
  });
  const bool has_parts = adapter.size() > 0;
  if (has_parts) line("kind", std::string("SBoRA-") + to_string(adapter.kind()));
  line("modules", std::to_string(adapter.size()));
  if (has_parts) {
    line("rank", range(ranks, [](index_t rank) { return std::to_string(rank); }));
    line("scale", range(scales, number) + (adapter.config().use_rslora ? " (rsLoRA)" : ""));
    line("dropout", number(adapter.config().lora_dropout));
  }
  line("trainable parameters", grouped(adapter.parameter_count()));
  if (const auto whole = adapter.full_tensors(); !whole.empty()) {
    index_t elements = 0;
    for (const auto& tensor : whole) elements += tensor.parameter_count();
    line("full tensors", std::to_string(whole.size()) + ", " + grouped(elements) + " elements");
  }
  for (const auto& of : adapter.tokens()) {
    const auto& tokens = of.tokens;
    line("tokens",
         std::to_string(tokens.target().rank()) + " of " + std::to_string(tokens.vocabulary()) + ", in " + of.module);
  }
  line("base recorded", fingerprints == 0 ? "no" : "of " + std::to_string(fingerprints) + " modules");
  if (!list) return;
  std::printf("\n%-14s%-6s%-12s%-40s %s\n", "d_out x d_in", "rank", "scale",
              adapter.kind() ? sbora::detail::region_name(*adapter.kind()) : "columns or rows", "module");
  adapter.for_each([&](const std::string& module, const auto& part) {
    const std::string shape = std::to_string(part.d_out()) + " x " + std::to_string(part.d_in());
    std::printf("%-14s%-6td%-12s%-40s %s\n", shape.c_str(), part.rank(), number(part.scale()).c_str(),
                index_text(part.target().indices(), false).c_str(), module.c_str());
  });
  for (const auto& tensor : adapter.full_tensors()) {
    std::printf("%-20s %s\n", shape_text(tensor.shape()).c_str(), tensor.name().c_str());
  }
}

void inspect_adapter(const inspect_options& set) {
  const base_model base(set.base);
  const sbora::read_config config = sbora::load_adapter_config(set.path, sbora::strictness::lenient);
  print_config(set.path, config, set.list);
  try {
    const auto loaded = load(set.path, base, sbora::strictness::lenient);
    std::vector<std::string> left_out = loaded.skipped;
    std::erase_if(left_out, [&](const std::string& skipped) {  // printed already
      return std::find(config.skipped.begin(), config.skipped.end(), skipped) != config.skipped.end();
    });
    lines("left out", left_out, set.list, 8);
    print_adapter(loaded.adapter, set.list);
  } catch (const sbora::checkpoint_error& error) {  // a LoRA of another kind, or an official file without --base
    line("rank", std::to_string(config.config.r));
    line("alpha", number(config.config.lora_alpha));
    if (!error.cause().empty()) line("can't be loaded", error.cause());
    lines(error.cause().empty() ? "can't be loaded" : "", error.problems(), set.list, 3);
    if (!set.list) return;
    std::printf("\n");
    const auto tensors = sbora::open_adapter_tensors(set.path);
    print_tensors(tensors.tensors());
  }
}

void inspect_checkpoint(const inspect_options& set) {
  const sbora::checkpoint checkpoint = sbora::checkpoint::open(set.path);
  std::map<std::string, std::pair<index_t, index_t>> types;  // tensors, elements
  std::size_t bytes = 0;
  for (const sbora::tensor_view& tensor : checkpoint.tensors()) {
    auto& [tensors, elements] = types[to_string(tensor.type)];
    ++tensors;
    elements += tensor.elements();
    bytes += tensor.data.size();
  }
  line("checkpoint", set.path.string());
  line("files", std::to_string(checkpoint.shards().size()));
  line("tensors", std::to_string(checkpoint.tensors().size()));
  line("bytes", grouped(static_cast<index_t>(bytes)));
  for (const auto& [type, count] : types) {
    line(("of " + type).c_str(), std::to_string(count.first) + " tensors, " + grouped(count.second) + " elements");
  }
  if (!set.list) return;
  std::printf("\n");
  print_tensors(checkpoint.tensors());
}

}  // namespace

int inspect(const inspect_options& set) {
  is_adapter(set.path) ? inspect_adapter(set) : inspect_checkpoint(set);
  return 0;
}

}  // namespace sbora_tool
