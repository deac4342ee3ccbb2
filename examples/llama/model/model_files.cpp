#include "model/model_files.hpp"

#include <sbora/io/atomic_file.hpp>
#include <sbora/io/safetensors/safetensors_writer.hpp>

#include "common/error.hpp"
#include "model/model_tensors.hpp"

namespace llama {
namespace {

const char* torch_name(sbora::dtype type) {
  return type == sbora::dtype::bf16 ? "bfloat16" : type == sbora::dtype::f16 ? "float16" : "float32";
}

}  // namespace

void write_model(const model& net, const std::filesystem::path& directory, const replace_tensor& replace) {
  if (net.source().gguf()) throw input_error("a model of a GGUF file isn't saved as a folder");
  std::error_code status;
  std::filesystem::create_directories(directory, status);
  if (status) throw sbora::file_error("making", directory, status.value());
  std::vector<sbora::tensor_view> tensors;
  for (const tensor_shape& each : tensors_of(net.config())) {
    if (net.source().is_quantised(each.name)) throw input_error("a model of codes isn't saved as a whole");
    tensors.push_back(*net.source().find(each.name));
  }
  sbora::safetensors_stream_writer writer(directory / "model.safetensors", tensors, {{"format", "pt"}});
  for (const sbora::tensor_view& next : writer.tensors()) {
    const sbora::tensor_view& stored = *net.source().find(next.name);
    const std::vector<std::byte> replaced = replace ? replace(stored) : std::vector<std::byte>();
    writer.write(next.name, replaced.empty() ? stored.data : std::span<const std::byte>(replaced));
  }
  sbora::atomic_file config(directory / "config.json");
  config.write(config_text(net.config(), torch_name(tensors.front().type)));
  writer.commit();
  config.commit();
}

}  // namespace llama
