// Quantised checkpoints: bitsandbytes', loaded in place and written, and those of fp8.

#include <cstdio>

#include <nlohmann/json.hpp>

#include <sbora/io.hpp>
#include <sbora/quantized.hpp>
#include <sbora/sbora.hpp>

#include "commands.hpp"
#include "files.hpp"

namespace interop {
namespace {

using std::filesystem::path;

template <class Weight>
void write_dequantised(const Weight& weight, const path& file) {
  std::vector<float> values(static_cast<std::size_t>(weight.d_out() * weight.d_in()));
  sbora::dequantize(weight, sbora::weight_view<float>(values.data(), weight.d_out(), weight.d_in()));
  write_values<float>(file, values);
}

bool is_inside(const void* pointer, const sbora::safetensors_file& file) {
  for (const sbora::tensor_view& tensor : file.tensors()) {
    const auto* const begin = tensor.data.data();
    if (pointer >= begin && pointer < begin + tensor.data.size()) return true;
  }
  return false;
}

/// CHECKPOINT FOLDER: every quantised weight's values, in FOLDER/NAME, and a JSON object of names to what they are;
/// in_place: codes are used where the mapping has them.
void dequantise(arguments words) {
  const auto file = sbora::safetensors_file::open(words[0]);
  const sbora::bitsandbytes_weights weights(file.tensors());
  nlohmann::json listed = nlohmann::json::object();
  for (const auto& entry : weights.four_bit()) {
    write_dequantised(entry.weight, path(words[1]) / entry.name);
    listed[entry.name] = {
        {"type", to_string(entry.weight.type())}, {"nested", entry.weight.scales().nested()},
        {"blocksize", entry.weight.blocksize()},  {"shape", {entry.weight.d_out(), entry.weight.d_in()}},
        {"original", to_string(entry.original)},  {"in_place", is_inside(entry.weight.codes().data(), file)}};
  }
  for (const auto& entry : weights.int8()) {
    write_dequantised(entry.weight, path(words[1]) / entry.name);
    listed[entry.name] = {{"type", "int8"},
                          {"shape", {entry.weight.d_out(), entry.weight.d_in()}},
                          {"in_place", is_inside(entry.weight.codes().data(), file)}};
  }
  std::printf("%s\n", listed.dump().c_str());
}

/// CHECKPOINT FOLDER: the values of every fp8 weight, in FOLDER/NAME, and a JSON object of names to what shares a
/// scale.
void dequantise_fp8(arguments words) {
  const auto file = sbora::safetensors_file::open(words[0]);
  const sbora::fp8_weights weights(file.tensors());
  nlohmann::json listed = nlohmann::json::object();
  for (const auto& [name, weight] : weights.all()) {
    write_dequantised(weight, path(words[1]) / name);
    constexpr const char* scalings[] = {"tensor", "row", "block"};
    listed[name] = {{"scaling", scalings[static_cast<int>(weight.scaling())]},
                    {"in_place", is_inside(weight.codes().data(), file)}};
  }
  std::printf("%s\n", listed.dump().c_str());
}

/// BASE TYPE BLOCKSIZE plain|nested OUT: a checkpoint of f32 weights, its linear layers' quantised.
void quantise(arguments words) {
  const auto base = sbora::checkpoint::open(words[0]);
  const std::string& type = words[1];
  std::vector<sbora::four_bit_weight> four_bit;
  std::vector<sbora::int8_weight> int8;
  std::vector<std::string> names;
  std::vector<sbora::tensor_view> tensors;
  for (const sbora::tensor_view& tensor : base.tensors()) {
    if (!tensor.name.ends_with("_proj.weight")) {
      tensors.push_back(tensor);
      continue;
    }
    names.push_back(tensor.name);
    const auto weight = tensor.as_weight<float>();
    if (type == "int8") {
      int8.emplace_back(weight);
    } else {
      four_bit.emplace_back(
          weight, sbora::four_bit_options{.type = type == "nf4" ? sbora::four_bit_type::nf4 : sbora::four_bit_type::fp4,
                                          .blocksize = std::stol(words[2]),
                                          .nested = words[3] == "nested"});
    }
  }
  sbora::bitsandbytes_writer writer;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (type == "int8") writer.add(names[i], int8[i].view());
    else writer.add(names[i], four_bit[i].view(), sbora::dtype::f32);
  }
  tensors.insert(tensors.end(), writer.tensors().begin(), writer.tensors().end());
  sbora::write_safetensors(words[4], tensors, {{"format", "pt"}});
}

}  // namespace

void add_bitsandbytes_commands(command_table& table) {
  table["dequantise-checkpoint"] = dequantise;
  table["dequantise-fp8-checkpoint"] = dequantise_fp8;
  table["quantise-checkpoint"] = quantise;
}

}  // namespace interop
