// GGUF files: what is in them, and their tensors' values.

#include <cstdio>

#include <nlohmann/json.hpp>

#include <sbora/io/gguf/gguf_weight.hpp>
#include <sbora/merge/export_merged.hpp>

#include "commands.hpp"
#include "files.hpp"

namespace interop {
namespace {

using nlohmann::json;
using std::filesystem::path;

/// As Python has it.
json as_json(const sbora::gguf_value& value) {
  if (const auto text = value.string()) return std::string(*text);
  if (const auto texts = value.strings()) return std::vector<std::string>(texts->begin(), texts->end());
  if (value.is_array()) {
    if (const auto numbers = value.numbers<std::int64_t>()) return *numbers;
    return *value.numbers<double>();
  }
  if (value.type() == sbora::gguf_type::boolean) return *value.number<bool>();
  if (value.type() == sbora::gguf_type::f32 || value.type() == sbora::gguf_type::f64) return *value.number<double>();
  if (const auto number = value.number<std::uint64_t>()) return *number;
  return *value.number<std::int64_t>();
}

/// FILE FOLDER: its metadata and its tensors as JSON, and their values as floats in FOLDER/NAME, read where they lie.
void read_gguf(arguments words) {
  const auto file = sbora::gguf_file::open(words[0]);
  json listed = {{"version", file.version()}, {"alignment", file.alignment()}, {"metadata", json::object()}};
  for (const sbora::gguf_entry& entry : file.metadata()) listed["metadata"][entry.key] = as_json(entry.value);
  for (const sbora::gguf_tensor& tensor : file.tensors()) {
    listed["tensors"][tensor.name] = {{"type", sbora::to_string(tensor.type)}, {"shape", tensor.shape}};
    const sbora::any_weight weight = gguf_weight(tensor);
    std::vector<float> values(static_cast<std::size_t>(weight.d_out() * weight.d_in()));
    weight.visit([&](const auto& view) {
      sbora::dequantize(view, sbora::weight_view<float>(values.data(), view.d_out(), view.d_in()));
    });
    write_values<float>(path(words[1]) / tensor.name, values);
  }
  std::printf("%s\n", listed.dump().c_str());
}

}  // namespace

void add_gguf_commands(command_table& table) { table["read-gguf"] = read_gguf; }

}  // namespace interop
