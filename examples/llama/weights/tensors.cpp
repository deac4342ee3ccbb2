#include "weights/tensors.hpp"

namespace llama {

std::string_view checkpoint_tensors::stored_name(std::string_view module) const {
  return added_ && module == module_of(added_->name) ? module_of(added_from_) : module;
}

std::optional<sbora::model_module> checkpoint_tensors::find_module(std::string_view module) const {
  return weights_.find(stored_name(module));
}

sbora::any_weight checkpoint_tensors::weight(std::string_view module) const {
  return weights_.weight(stored_name(module));
}

const sbora::tensor_view* checkpoint_tensors::find(const std::string& name) const {
  return added_ && name == added_->name ? &*added_ : checkpoint_.find(name);
}

void checkpoint_tensors::add_name(const std::string& name, const std::string& stored) {
  added_ = checkpoint_.at(stored);
  added_->name = name;
  added_from_ = stored;
}

std::string checkpoint_tensors::place(const std::string& name) const {
  for (const sbora::safetensors_file& file : checkpoint_.files()) {
    if (file.find(added_ && name == added_->name ? added_from_ : name) != nullptr) return file.path().string() + ": ";
  }
  return {};
}

std::vector<std::string> checkpoint_tensors::names() const {
  std::vector<std::string> names;
  for (const sbora::tensor_view& tensor : checkpoint_.tensors()) {
    if (!weights_.is_part_of_weight(tensor.name)) names.push_back(tensor.name);
  }
  return names;
}

flat_tensors::flat_tensors(const std::vector<tensor_shape>& shapes) {
  index_t size = 0;
  for (const tensor_shape& each : shapes) size += each.elements();
  values_.resize(static_cast<std::size_t>(size));
  std::size_t offset = 0;
  for (const tensor_shape& each : shapes) {
    const std::span<float> part(values_.data() + offset, static_cast<std::size_t>(each.elements()));
    index_[each.name] = views_.size();
    views_.push_back({each.name, sbora::dtype::f32, each.shape, std::as_bytes(part)});
    offset += part.size();
  }
}

const sbora::tensor_view* flat_tensors::find(const std::string& name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &views_[found->second];
}

std::optional<sbora::model_module> flat_tensors::find_module(std::string_view module) const {
  const sbora::tensor_view* const tensor = find(std::string(module) + ".weight");
  if (tensor == nullptr || tensor->shape.size() != 2) return std::nullopt;
  return sbora::model_module{std::string(module), tensor->shape[0], tensor->shape[1]};
}

sbora::any_weight flat_tensors::weight(std::string_view module) const {
  return views_[index_.at(std::string(module) + ".weight")].as_weight<float>();
}

std::span<float> flat_tensors::part(const std::string& name, std::span<float> of) const {
  const sbora::tensor_view& view = views_[index_.at(name)];
  const auto offset = static_cast<std::size_t>(view.values<float>().data() - values_.data());
  return of.subspan(offset, static_cast<std::size_t>(view.elements()));
}

}  // namespace llama
