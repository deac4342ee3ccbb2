// Any two files as an adapter's folder: inspected, converted and merged into a base as sbora_tool does it, or refused
// by an sbora::error, within the files' bytes and in little memory. What was read strictly is read leniently too, and
// what was converted is the same adapter. In memory; one input of 4096 goes through real files.

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>

#include <unistd.h>

#include <sbora/io/instances.hpp>
#include <sbora/io.hpp>

#include "folder_mutations.hpp"

namespace {

using sbora::index_t;
using adapter = sbora::model_adapter<float>;

void require(bool holds) {
  if (!holds) std::abort();
}

const std::vector<sbora::model_module>& modules() {
  static const std::vector<sbora::model_module> all = {
      {"m.layers.0.q_proj", 6, 5}, {"m.layers.0.v_proj", 3, 5}, {"m.layers.1.q_proj", 6, 5}, {"m.embed_tokens", 8, 5}};
  return all;
}

template <class Tensors>
std::string file_of(const Tensors& tensors, const std::map<std::string, std::string>& metadata) {
  std::string file = sbora::safetensors_header(tensors.tensors(), metadata);
  // The header has them by descending dtype, then name.
  std::vector<const sbora::tensor_view*> order;
  for (const sbora::tensor_view& tensor : tensors.tensors()) order.push_back(&tensor);
  std::sort(order.begin(), order.end(),
            [](const auto* a, const auto* b) { return a->type != b->type ? a->type > b->type : a->name < b->name; });
  for (const sbora::tensor_view* tensor : order) {
    if constexpr (requires { tensors.write(tensor->name, [](std::span<const std::byte>) {}); }) {
      tensors.write(tensor->name, [&](std::span<const std::byte> piece) {
        file.append(reinterpret_cast<const char*>(piece.data()), piece.size());
      });
    } else {
      file.append(reinterpret_cast<const char*>(tensor->data.data()), tensor->data.size());
    }
  }
  return file;
}

enum class layout { native, official, peft, paca };

/// What save_sbora and save_peft_lora write.
fuzz::folder written(const adapter& from, layout as) {
  if (as == layout::peft) {
    const sbora::detail::peft_lora_tensors<float> tensors(from);
    return {0, adapter_config_text(sbora::detail::peft_lora_config(from, true)), file_of(tensors, {{"format", "pt"}})};
  }
  const auto kept = as == layout::native ? sbora::sbora_layout::native
                    : as == layout::paca ? sbora::sbora_layout::paca
                                         : sbora::sbora_layout::official;
  const std::string config = adapter_config_text(sbora::detail::sbora_config(from, kept));
  std::map<std::string, std::string> metadata = {{"format", "pt"}};
  if (as == layout::native) metadata["sbora_config"] = config;
  return {0, config, file_of(sbora::detail::sbora_tensors(from, kept), metadata)};
}

sbora::loaded_adapter<float> load(const fuzz::folder& from, std::span<const sbora::model_module> model,
                                  sbora::strictness mode) {
  const auto bytes = std::as_bytes(std::span(from.tensors));
  sbora::safetensors_file tensors = sbora::safetensors_file::from_memory(bytes);
  sbora::read_config config = sbora::detail::config_of(tensors, from.config, mode, "folder");
  sbora::detail::adapter_files files = {"folder", std::move(config), std::move(tensors)};
  return sbora::detail::read_any_adapter<float>(files, model, mode);
}

std::vector<sbora::model_module> sizes_of(const adapter& of) {
  std::vector<sbora::model_module> sizes;
  of.for_each([&](const std::string& module, const auto& part) {
    sizes.push_back({module, part.d_out(), part.d_in()});
  });
  for (const auto& table : of.tokens()) {
    sizes.push_back({table.module, table.tokens.vocabulary(), table.tokens.features()});
  }
  return sizes;
}

bool same_bits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size_bytes()) == 0);
}

void require_same(const adapter& a, const adapter& b) {
  require(a.kind() == b.kind() && a.size() == b.size());
  a.for_each([&](const std::string& module, const auto& part) {
    b.visit(module, [&](const auto& other) {
      require(part.target() == other.target() && part.d_out() == other.d_out() && part.d_in() == other.d_in());
      require(static_cast<float>(part.scale()) == static_cast<float>(other.scale()));
      require(same_bits(part.parameters(), other.parameters()));
    });
  });
  require(std::ranges::equal(a.tokens(), b.tokens(), [](const auto& one, const auto& other) {
    return one.module == other.module && one.tokens.target() == other.tokens.target() &&
           same_bits(one.tokens.parameters(), other.tokens.parameters());
  }));
  require(std::equal(a.full_tensors().begin(), a.full_tensors().end(), b.full_tensors().begin(), b.full_tensors().end(),
                     [](const auto& one, const auto& other) {
                       return one.name() == other.name() && one.shape() == other.shape() &&
                              same_bits(one.parameters(), other.parameters());
                     }));
}

/// Sizes that a test can have in memory.
bool is_small(const adapter& of) {
  index_t all = 0;
  of.for_each([&](const std::string&, const auto& part) {
    const auto weight = sbora::detail::size_product({part.d_out(), part.d_in()});
    all = weight && *weight < 4096 && all < 16384 ? all + *weight : 1 << 20;
  });
  for (const auto& table : of.tokens()) {
    const auto size = sbora::detail::size_product({table.tokens.vocabulary(), table.tokens.features()});
    all = size && *size < 4096 && all < 16384 ? all + *size : 1 << 20;
  }
  return all < 16384;
}

void convert(const adapter& of, layout to) {
  if (to == layout::peft && !is_small(of)) {
    const sbora::detail::peft_lora_tensors<float> tensors(of);  // nothing of that size is ever made
    sbora::safetensors_header(tensors.tensors());
    return;
  }
  std::optional<fuzz::folder> made;
  try {
    made = written(of, to);
  } catch (const sbora::config_error&) {
    require(to != layout::native);  // the others can't say everything
    return;
  }
  require_same(of, load(*made, sizes_of(of), sbora::strictness::strict).adapter);
}

/// Into weights of one small number.
void merge(const adapter& of) {
  if (!is_small(of)) return;
  const bool transposed = of.config().fan_in_fan_out;
  of.for_each([&](const std::string& module, const auto& part) {
    std::vector<float> weight(static_cast<std::size_t>(part.d_out() * part.d_in()), 0.25F);
    std::vector<index_t> shape = {part.d_out(), part.d_in()};
    if (transposed) std::swap(shape[0], shape[1]);
    const sbora::tensor_view tensor = {module, sbora::dtype::f32, shape, std::as_bytes(std::span(weight))};
    const sbora::weight_change change = {{part.delta()},
                                         transposed ? sbora::storage::in_by_out : sbora::storage::out_by_in};
    require(sbora::detail::tensor_merge::problem(tensor, change).empty());
    std::vector<std::byte> bytes;
    sbora::detail::tensor_merge(tensor, change).apply(tensor.data, bytes, {});
    std::vector<float> merged(weight.size());
    std::memcpy(merged.data(), bytes.data(), bytes.size());
    const auto scale = static_cast<float>(part.scale());
    const bool fa = part.kind == sbora::adapter_kind::fa;
    for (index_t j = 0; j < part.rank(); ++j) {
      for (index_t k = 0; k < (fa ? part.d_out() : part.d_in()); ++k) {
        const index_t index = part.target().indices()[static_cast<std::size_t>(j)];
        const index_t row = fa ? k : index, column = fa ? index : k;
        const volatile float update = scale * part.matrix()(fa ? k : j, fa ? j : k);
        weight[static_cast<std::size_t>(transposed ? column * part.d_out() + row : row * part.d_in() + column)] +=
            update;
      }
    }
    require(same_bits(merged, weight));
  });
  for (const sbora::full_tensor<float>& full : of.full_tensors()) {
    const std::vector<float> base(full.parameters().size());
    const sbora::tensor_view tensor = {full.name(), sbora::dtype::f32, full.shape(), std::as_bytes(std::span(base))};
    const sbora::weight_change change = {.deltas = {}, .full = &full};
    require(sbora::detail::tensor_merge::problem(tensor, change).empty());
    std::vector<std::byte> bytes;
    if (!base.empty()) sbora::detail::tensor_merge(tensor, change).apply(tensor.data, bytes, {});
    require(bytes.size() == tensor.data.size());
    require(bytes.empty() || std::memcmp(bytes.data(), full.parameters().data(), bytes.size()) == 0);
  }
  for (const auto& table : of.tokens()) {
    const sbora::trainable_tokens& tokens = table.tokens;
    const index_t width = tokens.features();
    const std::vector<float> base(static_cast<std::size_t>(tokens.vocabulary() * width), 0.25F);
    const sbora::tensor_view tensor = {
        table.module, sbora::dtype::f32, {tokens.vocabulary(), width}, std::as_bytes(std::span(base))};
    const sbora::weight_change change = {.deltas = {}, .tokens = &tokens};
    require(sbora::detail::tensor_merge::problem(tensor, change).empty());
    std::vector<std::byte> bytes;
    sbora::detail::tensor_merge(tensor, change).apply(tensor.data, bytes, {});
    std::vector<float> merged(base.size()), expected = base;
    std::memcpy(merged.data(), bytes.data(), bytes.size());
    for (index_t j = 0; j < tokens.target().rank(); ++j) {
      const index_t row = tokens.target().indices()[static_cast<std::size_t>(j)];
      std::copy_n(tokens.parameters().data() + j * width, width, expected.data() + row * width);
    }
    require(same_bits(merged, expected));
  }
}

void inspect(const adapter& of) {
  index_t parameters = 0;
  of.for_each([&](const std::string&, const auto& part) { parameters += part.parameter_count(); });
  for (const auto& full : of.full_tensors()) parameters += full.parameter_count();
  for (const auto& table : of.tokens()) parameters += table.tokens.parameter_count();
  require(parameters == of.parameter_count());
}

void run(const fuzz::folder& input) {
  const unsigned command = input.command;
  const bool lenient = (command & 2U) != 0;
  const auto model = (command & 1U) != 0 ? std::span(modules()) : std::span<const sbora::model_module>();
  const sbora::loaded_adapter<float> loaded =
      load(input, model, lenient ? sbora::strictness::lenient : sbora::strictness::strict);
  inspect(loaded.adapter);
  if ((command & 4U) != 0 && !lenient) {
    require_same(loaded.adapter, load(input, model, sbora::strictness::lenient).adapter);
  }
  switch (command / 8 % 5) {
    case 0: convert(loaded.adapter, layout::native); break;
    case 1: convert(loaded.adapter, layout::official); break;
    case 2: convert(loaded.adapter, layout::peft); break;
    case 3: convert(loaded.adapter, layout::paca); break;
    default: merge(loaded.adapter); break;
  }
}

/// The same by files, with the same end.
void run_with_files(const fuzz::folder& input) {
  namespace fs = std::filesystem;
  static const fs::path folder = fs::path("/dev/shm") / ("sbora-fuzz-" + std::to_string(::getpid()));
  struct cleaner {
    ~cleaner() {
      std::error_code ignored;
      fs::remove_all(folder, ignored);
    }
  } const clean;
  fs::create_directories(folder / "in");
  std::ofstream(folder / "in" / "adapter_config.json", std::ios::binary) << input.config;
  std::ofstream(folder / "in" / "adapter_model.safetensors", std::ios::binary) << input.tensors;
  std::optional<sbora::loaded_adapter<float>> read, in_memory;
  try {
    in_memory = load(input, modules(), sbora::strictness::lenient);
  } catch (const sbora::error&) {
  }
  try {
    read = sbora::load_adapter(folder / "in", modules(), sbora::strictness::lenient);
  } catch (const sbora::error&) {
  }
  require(read.has_value() == in_memory.has_value());
  if (!read || !is_small(read->adapter)) return;
  require_same(read->adapter, in_memory->adapter);
  save_sbora(read->adapter, folder / "native");
  require_same(read->adapter, sbora::load_adapter(folder / "native", sizes_of(read->adapter)).adapter);
  const auto frozen = sbora::load_frozen_adapter(folder / "native");
  require_same(read->adapter, *frozen);
  try {
    save_peft_lora(read->adapter, folder / "peft");
  } catch (const sbora::config_error&) {  // it can't say everything
    return;
  }
  require_same(read->adapter, sbora::load_adapter(folder / "peft", sizes_of(read->adapter)).adapter);
}

/// What our own writers make of adapters of every kind.
std::vector<fuzz::seed> make_seeds() {
  std::vector<fuzz::seed> seeds;
  for (const sbora::adapter_kind kind : {sbora::adapter_kind::fa, sbora::adapter_kind::fb}) {
    for (const int variant : {0, 1, 2, 3, 4, 5, 6, 7}) {
      sbora::adapter_config config;
      config.kind = kind;
      config.r = 2;
      config.lora_alpha = 3;
      config.target_modules.names = {"q_proj", "v_proj"};
      if (variant == 1) config.rank_pattern = {{"layers.1.q_proj", 1}}, config.alpha_pattern = {{"v_proj", 0.5}};
      if (variant == 2) config.target_modules = {{}, ".*q_proj"}, config.use_rslora = true, config.lora_dropout = 0.1;
      if (variant == 3)
        config.layers_to_transform = {1}, config.layers_pattern = {"layers"}, config.fan_in_fan_out = true;
      if (variant == 7) config.target_modules.names = {"q_proj", "embed_tokens"}, config.ensure_weight_tying = true;
      if (variant == 4) config.kind_pattern = {{"v_proj", sbora::adapter_kind::fb}};
      auto made = sbora::make_adapter<float>(config, modules(), static_cast<std::uint64_t>(variant));
      float next = 0.5F;
      for (float& value : made.parameters()) value = next += 0.25F;
      if (variant == 5) {
        made.set_full_tensors({{"m.layers.0.q_proj.bias", {6}, std::vector<float>(6, 0.5F)},
                               {"m.layers.0.norm.weight", {5}, std::vector<float>(5, 1.5F)},
                               {"m.other.bias", {2, 1}, {1, 2}}});
      }
      if (variant == 6) {
        std::vector<float> rows(10, 0.5F);
        sbora::replaced_values<float> tokens;
        tokens.tokens.push_back({"m.embed_tokens", {8, 5, sbora::region(8, {6, 1}), rows, {}}});
        made.set_replaced(std::move(tokens));
      }
      if (variant == 0) made.set_base_fingerprint("m.layers.0.q_proj", 0x123456789ABCDEFU);
      for (const layout as : {layout::native, layout::official, layout::peft, layout::paca}) {
        try {
          seeds.emplace_back(written(made, as));
          seeds.back().files.config = fuzz::text_of(seeds.back().config);  // shorter
        } catch (const sbora::config_error&) {                             // the official layout can't say it
        }
      }
    }
  }
  return seeds;
}

const std::vector<fuzz::seed>& seeds() {
  static const std::vector<fuzz::seed> made = make_seeds();
  return made;
}

}  // namespace

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t most, unsigned seed) {
  fuzz::random_source random(seed);
  const std::string bytes = fuzz::mutated(fuzz::folder::read(data, size), random, seeds()).bytes();
  if (bytes.size() > most) return LLVMFuzzerMutate(data, size, most);
  std::memcpy(data, bytes.data(), bytes.size());
  return bytes.size();
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static unsigned count = 0;
  const fuzz::folder input = fuzz::folder::read(data, size);
  try {
    run(input);
  } catch (const sbora::error&) {
  }
  if (++count % 4096 == 0) run_with_files(input);
  return 0;
}
