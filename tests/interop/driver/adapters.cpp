// Adapters of a model's linear layers: trained, written in each layout, read from each, merged.

#include <cstdio>
#include <map>

#include <nlohmann/json.hpp>

#include <sbora/io.hpp>
#include <sbora/layers/embedding.hpp>
#include <sbora/merge/full_tensor_merger.hpp>
#include <sbora/merge/token_merger.hpp>
#include <sbora/model/combine.hpp>
#include <sbora/sbora.hpp>

#include "commands.hpp"
#include "files.hpp"

namespace interop {
namespace {

using sbora::index_t;
using std::filesystem::path;
using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// The linear layers of a checkpoint, the embedding, which may be the head, and experts.
std::vector<sbora::model_module> linear_modules(const sbora::checkpoint& base) {
  return sbora::checkpoint_weights(base).modules();
}

sbora::weight_view<const float> weight_of(const sbora::checkpoint& base, const std::string& module) {
  return base.at(module + ".weight").as_weight<float>();
}

matrix random_matrix(index_t rows, index_t cols, sbora::random_stream& random) {
  matrix values(rows, cols);
  for (index_t i = 0; i < rows * cols; ++i) values.data()[i] = static_cast<float>(2 * random.uniform() - 1);
  return values;
}

/// Some steps towards random targets, every layer on its own.
void train(sbora::model_adapter<float>& adapter, const sbora::checkpoint& base, int steps) {
  sbora::random_stream random(17);
  sbora::adamw<float> optimiser(adapter.parameter_count(), {.learning_rate = 2e-2});
  sbora::workspace memory;
  for (int step = 0; step < steps; ++step) {
    adapter.zero_gradient();
    adapter.for_each([&]<sbora::adapter_kind Kind>(const std::string& module, sbora::basic_adapter<Kind, float>& part) {
      constexpr index_t tokens = 5;
      const matrix x = random_matrix(tokens, part.d_in(), random);
      matrix y(tokens, part.d_out()), dx(tokens, part.d_in());
      const sbora::linear layer{weight_of(base, module)};
      std::conditional_t<Kind == sbora::adapter_kind::fa, sbora::fa_saved<float>, sbora::fb_saved<float>> saved;
      layer.forward(x, y, part, saved, memory);
      const matrix dy = y - random_matrix(tokens, part.d_out(), random);
      layer.backward(dy, dx, part, saved, memory);
    });
    optimiser.step(adapter.parameters(), adapter.gradient());
  }
}

/// FOLDER/native, and official and paca where those can say it.
void save_indices(const sbora::model_adapter<float>& adapter, const path& folder) {
  using enum sbora::sbora_layout;
  for (const auto& [name, layout] :
       {std::pair("native", native), std::pair("official", official), std::pair("paca", paca)}) {
    try {
      sbora::save_sbora(adapter, folder / name, layout);
    } catch (const sbora::config_error&) {
      if (layout == native) throw;
    }
  }
}

/// BASE CONFIG SEED STEPS FOLDER: an adapter as the adapter_config.json CONFIG says, trained, in FOLDER/native,
/// official and paca (where those can say it), peft and peft_rslora.
void train_adapter(arguments words) {
  const auto base = sbora::checkpoint::open(words[0]);
  const std::vector<char> text = read_values<char>(words[1]);
  auto config = sbora::parse_adapter_config({text.data(), text.size()}, sbora::strictness::strict, words[1]).config;
  auto adapter = sbora::make_adapter<float>(std::move(config), linear_modules(base), std::stoull(words[2]));
  train(adapter, base, std::stoi(words[3]));
  const path folder = words[4];
  save_indices(adapter, folder);
  sbora::save_peft_lora(adapter, folder / "peft");
  sbora::save_peft_lora(adapter, folder / "peft_rslora", sbora::rslora_export::flag);
}

/// BASE ADAPTER OUT: the whole checkpoint as one file, the adapter merged into a copy.
void merge_adapter(arguments words) {
  const auto base = sbora::checkpoint::open(words[0]);
  const auto loaded = sbora::load_adapter<float>(words[1], linear_modules(base));
  std::map<std::string, std::vector<float>> merged;
  loaded.adapter.for_each([&](const std::string& module, const auto& part) {
    std::vector<float>& copy = merged[module + ".weight"] = base.at(module + ".weight").copy<float>();
    sbora::merger merger{sbora::weight_view<float>(copy.data(), part.d_out(), part.d_in())};
    merger.merge(part);
  });
  for (const sbora::full_tensor<float>& tensor : loaded.adapter.full_tensors()) {
    std::vector<float>& copy = merged[tensor.name()] = base.at(tensor.name()).copy<float>();
    sbora::full_tensor_merger<float> merger{std::span<float>(copy)};
    merger.merge(tensor);
  }
  for (const sbora::table_tokens<float>& of : loaded.adapter.tokens()) {
    std::vector<float>& copy = merged[of.module + ".weight"] = base.at(of.module + ".weight").copy<float>();
    sbora::token_merger merger{sbora::weight_view<float>(copy.data(), of.tokens.vocabulary(), of.tokens.features())};
    merger.merge(of.tokens);
  }
  std::vector<sbora::tensor_view> tensors(base.tensors().begin(), base.tensors().end());
  for (sbora::tensor_view& tensor : tensors) {
    if (const auto found = merged.find(tensor.name); found != merged.end()) {
      tensor.data = std::as_bytes(std::span(found->second));
    }
  }
  sbora::write_safetensors(words[2], tensors, {{"format", "pt"}});
}

/// BASE ADAPTER TABLE IDS OUT: rows of a table with the adapter or the tokens on it, unmerged.
void look_up(arguments words) {
  const auto base = sbora::checkpoint::open(words[0]);
  const auto adapter = sbora::load_adapter<float>(words[1], linear_modules(base)).adapter;
  const sbora::embedding layer{weight_of(base, words[2])};
  const std::vector<std::int64_t> ids = read_values<std::int64_t>(words[3]);
  matrix y(static_cast<index_t>(ids.size()), layer.features());
  if (adapter.has(words[2])) adapter.visit(words[2], [&](const auto& part) { layer.forward(ids, y, part); });
  else layer.forward(ids, y, adapter.tokens(words[2]));
  write_values<float>(words[4], {y.data(), static_cast<std::size_t>(y.size())});
}

/// ADAPTER [BASE]: prints what it is as JSON.
void describe(arguments words) {
  std::vector<sbora::model_module> modules;
  if (words.size() > 1) modules = linear_modules(sbora::checkpoint::open(words[1]));
  const auto loaded = sbora::load_adapter<float>(words[0], modules);
  nlohmann::json described = {{"kind", to_string(loaded.adapter.kind())}, {"skipped", loaded.skipped}};
  loaded.adapter.for_each([&](const std::string& module, const auto& part) {
    described["modules"][module] = {{"indices", part.target().indices()},
                                    {"scale", part.scale()},
                                    {"shape", {part.matrix().rows(), part.matrix().cols()}},
                                    {"trained", part.parameters()}};
  });
  for (const sbora::full_tensor<float>& tensor : loaded.adapter.full_tensors()) {
    described["full"][tensor.name()] = {{"shape", tensor.shape()}, {"values", tensor.parameters()}};
  }
  for (const sbora::table_tokens<float>& of : loaded.adapter.tokens()) {
    described["tokens"][of.module] = {{"indices", of.tokens.target().indices()}, {"rows", of.tokens.parameters()}};
  }
  std::printf("%s\n", described.dump().c_str());
}

/// BASE ADAPTER FOLDER: loaded and written again, in FOLDER/native, official, paca and peft.
void save_again(arguments words) {
  const auto base = sbora::checkpoint::open(words[0]);
  const auto loaded = sbora::load_adapter<float>(words[1], linear_modules(base));
  const path folder = words[2];
  save_indices(loaded.adapter, folder);
  sbora::save_peft_lora(loaded.adapter, folder / "peft");
}

/// METHOD DENSITY SIGNS OUT (ADAPTER WEIGHT)...: combined, in OUT/native and OUT/peft. SIGNS: total or frequency.
void combine_adapters(arguments words) {
  using enum sbora::combination;
  const std::map<std::string, sbora::combination> methods = {
      {"linear", linear}, {"cat", cat}, {"magnitude_prune", magnitude_prune}, {"ties", ties}};
  const sbora::combine_options options = {
      .method = methods.at(words[0]), .density = std::stod(words[1]), .signs_by_frequency = words[2] == "frequency"};
  std::vector<sbora::model_adapter<float>> adapters;
  for (std::size_t i = 4; i < words.size(); i += 2) adapters.push_back(sbora::load_adapter<float>(words[i]).adapter);
  std::vector<sbora::weighted_adapter<float>> weighted;
  for (std::size_t i = 0; i < adapters.size(); ++i) weighted.push_back({&adapters[i], std::stod(words[5 + 2 * i])});
  const auto result = sbora::combine(weighted, options);
  sbora::save_sbora(result, path(words[3]) / "native");
  sbora::save_peft_lora(result, path(words[3]) / "peft");
}

/// BASE: prints all layers' sizes, whatever their weights are stored as.
void list_modules(arguments words) {
  const auto base = sbora::checkpoint::open(words[0]);
  nlohmann::json sizes;
  for (const sbora::model_module& module : sbora::checkpoint_weights(base).modules()) {
    sizes[module.name] = {module.d_out, module.d_in};
  }
  std::printf("%s\n", sizes.dump().c_str());
}

/// BASE ADAPTER OUT: the tensors that the adapter changes.
void merge_into_files(arguments words) {
  const auto base = sbora::checkpoint::open(words[0]);
  const auto loaded = sbora::load_adapter<float>(words[1], sbora::checkpoint_weights(base).modules());
  write_merged_tensors(base, adapter_changes(loaded.adapter, base), words[2]);
}

}  // namespace

void add_adapter_commands(command_table& table) {
  table["train-adapter"] = train_adapter;
  table["merge-adapter"] = merge_adapter;
  table["adapter-look-up"] = look_up;
  table["describe-adapter"] = describe;
  table["save-adapter-again"] = save_again;
  table["combine-adapters"] = combine_adapters;
  table["list-modules"] = list_modules;
  table["merge-into-files"] = merge_into_files;
}

}  // namespace interop
