#include "model/adapter_files.hpp"

#include <cstring>
#include <deque>
#include <optional>

#include <nlohmann/json.hpp>
#include <sbora/merge/merger.hpp>
#include <sbora/io/atomic_file.hpp>
#include <sbora/io/adapter/peft_lora.hpp>
#include <sbora/io/safetensors/safetensors_writer.hpp>
#include <sbora/io/adapter/sbora_checkpoint.hpp>
#include <sbora/model/row_order.hpp>

#include "common/error.hpp"
#include "common/json_fields.hpp"
#include "common/json_file.hpp"
#include "model/model_files.hpp"

namespace llama {
namespace {

using nlohmann::json;

std::string key_of(const adapter_slot& slot, const char* half) { return "base_model.model." + slot.module + half; }

double scale_of(const adapter_plan& plan) {
  const auto rank = static_cast<double>(plan.rank);
  return plan.alpha / (plan.rslora ? std::sqrt(rank) : rank);
}

// ---- FA and FB: sbora's files ----------------------------------------------------------------------

sbora::model_adapter<float> as_sbora(const model& of, const std::string& base_model) {
  const adapter_plan& plan = of.plan();
  sbora::adapter_config config;
  config.r = plan.rank;
  config.lora_alpha = plan.alpha;
  config.use_rslora = plan.rslora;
  config.lora_dropout = plan.dropout;
  config.target_modules.names = plan.target_modules;
  config.base_model_name_or_path = base_model;
  config.task_type = "CAUSAL_LM";
  config.sbora.emplace().seed = plan.seed;
  auto adapter = adapter_of(of, std::move(config));
  const sbora::gguf_names* const names = of.source().gguf();
  if (!names) return adapter;
  return with_rows_at(
      adapter, [&](const std::string& module, index_t d_out) { return names->rows_in_hugging_face(module, d_out); });
}

sbora::model_adapter<float> read_sbora_adapter(const model& of, const std::filesystem::path& directory) {
  auto adapter = sbora::load_adapter<float>(directory, modules_of(of)).adapter;
  if (!adapter.full_tensors().empty()) {
    throw input_error(directory.string() + ": bias and modules_to_save are not supported, it has '" +
                      adapter.full_tensors().front().name() + "'");
  }
  if (!adapter.tokens().empty()) {
    throw input_error(directory.string() + ": trained tokens are not supported, it has some of '" +
                      adapter.tokens().front().module + "'");
  }
  const sbora::gguf_names* const names = of.source().gguf();
  if (!names) return adapter;
  return with_rows_at(adapter,
                      [&](const std::string& module, index_t d_out) { return names->rows_in_file(module, d_out); });
}

void load_sbora_adapter(model& into, const std::filesystem::path& directory) {
  const auto adapter = read_sbora_adapter(into, directory);
  if (!adapter.kind()) throw input_error(directory.string() + ": modules of both FA and FB are not supported");
  adapter_plan plan;
  plan.method = adapter.kind() == sbora::adapter_kind::fa ? adapter_method::sbora_fa : adapter_method::sbora_fb;
  plan.target_modules = adapter.modules();
  plan.dropout = adapter.config().lora_dropout;
  plan.rslora = adapter.config().use_rslora;
  if (adapter.config().sbora && adapter.config().sbora->seed) plan.seed = *adapter.config().sbora->seed;
  std::map<std::string, sbora::region> by_module;
  adapter.for_each([&](const std::string& module, const auto& part) {
    const bool first = by_module.empty();
    if (!first && (part.rank() != plan.rank || part.options().alpha != plan.alpha)) {
      throw input_error(directory.string() + ": modules with different ranks or alphas are not supported");
    }
    plan.rank = part.rank();
    plan.alpha = part.options().alpha;
    by_module.emplace(module, part.target());
  });
  std::vector<sbora::region> regions;
  for (const std::string& module : into.linear_modules()) {
    if (const auto found = by_module.find(module); found != by_module.end()) regions.push_back(found->second);
  }
  into.attach(plan, std::move(regions));
  for (const adapter_slot& slot : into.adapters()) {
    const std::span<float> half = slot.a.empty() ? slot.b : slot.a;
    adapter.visit(slot.module, [&](const auto& part) {
      std::copy(part.parameters().begin(), part.parameters().end(), half.begin());
    });
  }
}

// ---- LoRA: PEFT's files ----------------------------------------------------------------------------

void save_lora(const model& of, const std::filesystem::path& directory, const std::string& base_model) {
  std::error_code status;
  std::filesystem::create_directories(directory, status);
  if (status) throw sbora::file_error("making", directory, status.value());
  const adapter_plan& plan = of.plan();
  const json config = {{"peft_type", "LORA"},
                       {"task_type", "CAUSAL_LM"},
                       {"base_model_name_or_path", base_model},
                       {"r", plan.rank},
                       {"lora_alpha", plan.alpha},
                       {"lora_dropout", plan.dropout},
                       {"use_rslora", plan.rslora},
                       {"target_modules", plan.target_modules},
                       {"bias", "none"},
                       {"fan_in_fan_out", false},
                       {"inference_mode", true}};
  std::vector<sbora::tensor_view> tensors;
  std::deque<std::vector<float>> ordered;
  for (const adapter_slot& slot : of.adapters()) {
    std::span<const float> b = slot.b;
    if (const sbora::gguf_names* const names = of.source().gguf()) {
      const std::vector<index_t> places = names->rows_in_hugging_face(slot.module, slot.d_out);
      if (!places.empty()) b = ordered.emplace_back(sbora::detail::rows_at(b, places));
    }
    tensors.push_back(
        {key_of(slot, ".lora_A.weight"), sbora::dtype::f32, {slot.rank, slot.d_in}, std::as_bytes(slot.a)});
    tensors.push_back({key_of(slot, ".lora_B.weight"), sbora::dtype::f32, {slot.d_out, slot.rank}, std::as_bytes(b)});
  }
  sbora::write_safetensors(directory / "adapter_model.safetensors", tensors, {{"format", "pt"}});
  sbora::atomic_file file(directory / "adapter_config.json");
  file.write(config.dump(2) + "\n");
  file.commit();
}

/// What makes another update of the tensors than s·B·A on the whole of each target module. Other fields of PEFT change
/// nothing once an adapter is trained. Errors: input_error that names the field.
void refuse_other_updates(const json& config, const std::filesystem::path& file) {
  json_fields fields(config, file.string());
  fields.require("bias", "none");
  for (const char* const name : {"use_dora", "lora_bias", "fan_in_fan_out", "use_qalora"}) fields.require(name, false);
  for (const char* const name : {"rank_pattern", "alpha_pattern", "layers_to_transform", "layers_pattern",
                                 "layer_replication", "exclude_modules", "modules_to_save", "target_parameters",
                                 "trainable_token_indices", "megatron_config", "corda_config", "arrow_config"}) {
    const json* const value = fields.find(name);
    if (!value || value->empty()) continue;
    fields.fail(std::string(name) + " = " + value->dump().substr(0, 80) + " is not supported");
  }
}

/// PEFT's LoRA: two halves of floats, of which neither is one-hot.
struct lora_files {
  json config;
  sbora::safetensors_file tensors;
};

/// Nothing where the directory has another kind of adapter.
std::optional<lora_files> open_lora(const std::filesystem::path& directory) {
  json config = read_json(directory / "adapter_config.json");
  if (config.value("peft_type", "") != "LORA" || config.contains("sbora")) return std::nullopt;
  auto tensors = sbora::safetensors_file::open(directory / "adapter_model.safetensors");
  for (const sbora::tensor_view& tensor : tensors.tensors()) {
    // The official code's: indices and the trained half.
    if (tensor.name.ends_with(".lora_A") || tensor.name.ends_with(".lora_B")) return std::nullopt;
  }
  return lora_files{std::move(config), std::move(tensors)};
}

void load_lora(model& into, const std::filesystem::path& directory, const lora_files& files) {
  const json& config = files.config;
  const sbora::safetensors_file& tensors = files.tensors;
  refuse_other_updates(config, directory / "adapter_config.json");
  adapter_plan plan;
  plan.method = adapter_method::lora;
  try {
    plan.rank = config.at("r").get<index_t>();
    plan.alpha = config.at("lora_alpha").get<double>();
    plan.dropout = config.value("lora_dropout", 0.0);
    plan.rslora = config.value("use_rslora", false);
    plan.target_modules = config.at("target_modules").get<std::vector<std::string>>();
  } catch (const json::exception& error) {
    throw input_error((directory / "adapter_config.json").string() + ": " + error.what());
  }
  const auto half = [&](const std::string& key, index_t rows, index_t cols) {
    const sbora::tensor_view& tensor = tensors.at(key);
    if (tensor.shape != std::vector<index_t>{rows, cols}) {
      throw input_error(directory.string() + ": " + key + " has shape " + sbora::detail::shape_text(tensor.shape) +
                        ", expected " + sbora::detail::shape_text(std::vector<index_t>{rows, cols}));
    }
    return tensor.copy<float>();
  };
  into.attach(plan);
  for (const adapter_slot& slot : into.adapters()) {
    const auto a = half(key_of(slot, ".lora_A.weight"), slot.rank, slot.d_in);
    auto b = half(key_of(slot, ".lora_B.weight"), slot.d_out, slot.rank);
    if (const sbora::gguf_names* const names = into.source().gguf()) {
      const std::vector<index_t> places = names->rows_in_file(slot.module, slot.d_out);
      if (!places.empty()) b = sbora::detail::rows_at(std::span<const float>(b), places);
    }
    std::copy(a.begin(), a.end(), slot.a.begin());
    std::copy(b.begin(), b.end(), slot.b.begin());
  }
}

// ---- merging ---------------------------------------------------------------------------------------

/// A copy of a weight with the adapter added, in the type that it is stored in.
template <class Scalar>
std::vector<std::byte> merged(const sbora::tensor_view& tensor, const adapter_slot& slot, const adapter_plan& plan) {
  std::vector<Scalar> values = tensor.copy<Scalar>();
  const sbora::adapter_options options{.alpha = plan.alpha, .rslora = plan.rslora};
  const auto merge = [&](const auto& adapter) {
    sbora::merger<Scalar>(sbora::weight_view<Scalar>(values.data(), slot.d_out, slot.d_in)).merge(adapter);
  };
  if (slot.method == adapter_method::sbora_fa) {
    merge(sbora::fa_adapter<float>(slot.d_out, slot.d_in, *slot.target, options, slot.b, {}));
  } else if (slot.method == adapter_method::sbora_fb) {
    merge(sbora::fb_adapter<float>(slot.d_out, slot.d_in, *slot.target, options, slot.a, {}));
  } else {
    const Eigen::Map<const matrix> a(slot.a.data(), slot.rank, slot.d_in);
    const Eigen::Map<const matrix> b(slot.b.data(), slot.d_out, slot.rank);
    Eigen::Map<matrix_of<Scalar>> weight(values.data(), slot.d_out, slot.d_in);
    const matrix sum = weight.template cast<float>() + (static_cast<float>(scale_of(plan)) * b) * a;
    weight = sum.cast<Scalar>();
  }
  std::vector<std::byte> bytes(tensor.data.size());
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

}  // namespace

sbora::model_adapter<float> adapter_of(const model& of, sbora::adapter_config config) {
  std::vector<sbora::adapter_part> parts;
  for (const adapter_slot& slot : of.adapters()) {
    parts.push_back({slot.module, slot.d_out, slot.d_in, *slot.target, of.plan().alpha});
  }
  const bool is_fa = of.plan().method == adapter_method::sbora_fa;
  sbora::model_adapter<float> adapter(is_fa ? sbora::adapter_kind::fa : sbora::adapter_kind::fb, std::move(config),
                                      std::move(parts));
  auto out = adapter.parameters().begin();
  for (const adapter_slot& slot : of.adapters()) {
    const std::span<float> half = is_fa ? slot.b : slot.a;
    out = std::copy(half.begin(), half.end(), out);
  }
  return adapter;
}

void save_adapter(const model& of, const std::filesystem::path& directory, adapter_format format,
                  const std::string& base_model) {
  switch (of.plan().method) {
    case adapter_method::none: throw input_error("the model has no adapters to save");
    case adapter_method::lora: return save_lora(of, directory, base_model);
    case adapter_method::sbora_fa:
    case adapter_method::sbora_fb: break;
  }
  if (format == adapter_format::peft) sbora::save_peft_lora(as_sbora(of, base_model), directory);
  else sbora::save_sbora(as_sbora(of, base_model), directory);
}

std::vector<sbora::model_module> modules_of(const model& of) {
  std::vector<sbora::model_module> modules;
  for (const block& each : of.blocks()) {
    for (const projection& layer : each.linears()) modules.push_back({layer.name(), layer.d_out(), layer.d_in()});
  }
  return modules;
}

sbora::model_adapter<float> read_adapter(const model& of, const std::filesystem::path& directory) {
  try {
    if (open_lora(directory)) {
      throw input_error(directory.string() + ": a LoRA, of which no half is one-hot; FA and FB are read here");
    }
    return read_sbora_adapter(of, directory);
  } catch (const sbora::error& error) {
    throw input_error(error.what());
  }
}

void load_adapter(model& into, const std::filesystem::path& directory) {
  try {
    if (const auto lora = open_lora(directory)) load_lora(into, directory, *lora);
    else load_sbora_adapter(into, directory);
  } catch (const sbora::error& error) {
    throw input_error(error.what());
  }
}

void save_merged(const model& of, const std::filesystem::path& directory) {
  std::map<std::string, const adapter_slot*> adapted;
  for (const adapter_slot& slot : of.adapters()) adapted[slot.module + ".weight"] = &slot;
  write_model(of, directory, [&](const sbora::tensor_view& tensor) -> std::vector<std::byte> {
    const auto found = adapted.find(tensor.name);
    if (found == adapted.end()) return {};
    switch (tensor.type) {
      case sbora::dtype::bf16: return merged<Eigen::bfloat16>(tensor, *found->second, of.plan());
      case sbora::dtype::f16: return merged<Eigen::half>(tensor, *found->second, of.plan());
      default: return merged<float>(tensor, *found->second, of.plan());
    }
  });
}

}  // namespace llama
