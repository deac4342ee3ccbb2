// safetensors files read and written.

#include <algorithm>
#include <cstdio>

#include <nlohmann/json.hpp>

#include <sbora/io/checkpoint/checkpoint.hpp>
#include <sbora/io/safetensors/safetensors_writer.hpp>

#include "commands.hpp"

namespace interop {
namespace {

/// IN OUT: all tensors, given in the opposite order, and the metadata.
void rewrite(arguments words) {
  const auto file = sbora::safetensors_file::open(words[0]);
  std::vector<sbora::tensor_view> tensors(file.tensors().begin(), file.tensors().end());
  std::reverse(tensors.begin(), tensors.end());
  sbora::write_safetensors(words[1], tensors, file.metadata());
}

/// PATH of a file, an index or a folder: prints a JSON object of names to dtype, shape and bytes.
void list(arguments words) {
  nlohmann::json listed = nlohmann::json::object();
  const auto checkpoint = sbora::checkpoint::open(words[0]);
  for (const sbora::tensor_view& tensor : checkpoint.tensors()) {
    std::vector<int> bytes;
    for (const std::byte byte : tensor.data) bytes.push_back(std::to_integer<int>(byte));
    listed[tensor.name] = {{"dtype", to_string(tensor.type)}, {"shape", tensor.shape}, {"bytes", bytes}};
  }
  std::printf("%s\n", listed.dump().c_str());
}

}  // namespace

void add_safetensors_commands(command_table& table) {
  table["rewrite-safetensors"] = rewrite;
  table["list-tensors"] = list;
}

}  // namespace interop
