#include "base_model.hpp"

#include <sbora/io/adapter/adapter_folder.hpp>
#include <sbora/io/bitsandbytes/quantised_names.hpp>
#include <sbora/io/json_text.hpp>

#include "common/error.hpp"

namespace sbora_tool {

base_model::base_model(const fs::path& path) {
  if (path.empty()) return;
  if (path.extension() == ".gguf") {
    gguf_.emplace(sbora::gguf_file::open(path));
    return;
  }
  checkpoint_.emplace(sbora::checkpoint::open(path));
  for (const sbora::tensor_view& tensor : checkpoint_->tensors()) {
    for (const char* const ending : {".qweight", ".weight_packed"}) {
      if (!tensor.name.ends_with(ending)) continue;
      const std::string weight = tensor.name.substr(0, tensor.name.rfind('.')) + ".weight";
      const std::string codes = sbora::detail::quantised_as(*checkpoint_, weight);
      throw input_error(path.string() + ": '" + tensor.name + "' is " + codes +
                        ", which sbora doesn't read; give the model that was quantised");
    }
  }
}

const sbora::checkpoint& base_model::checkpoint() const {
  if (gguf_) throw input_error(gguf_->path().string() + ": a GGUF file, where only a safetensors checkpoint is taken");
  return *checkpoint_;
}

std::vector<sbora::model_module> base_model::modules(bool fan_in_fan_out) const {
  if (checkpoint_) return sbora::checkpoint_weights(*checkpoint_, fan_in_fan_out).modules();
  if (!gguf_) return {};
  const sbora::gguf_names names = sbora::gguf_names::of(*gguf_);
  std::vector<sbora::model_module> modules;
  for (const sbora::gguf_tensor& tensor : gguf_->tensors()) {
    const auto name = names.hugging_face(tensor.name);
    if (!name || tensor.shape.size() != 2) continue;
    modules.push_back({std::string(sbora::detail::module_of(*name)), tensor.shape[0], tensor.shape[1]});
  }
  return modules;
}

bool base_model::is_tied() const {
  const fs::path file = checkpoint_->index().empty() ? checkpoint_->shards().front() : checkpoint_->index();
  const fs::path config = file.parent_path() / "config.json";
  std::error_code ignored;
  if (!fs::exists(config, ignored)) return false;
  const auto said = sbora::detail::parse_json(sbora::detail::read_text(config), config);
  return said.is_object() && said.contains("tie_word_embeddings") && said["tie_word_embeddings"] == true;
}

}  // namespace sbora_tool
