// Stacks of experts in checkpoints: one tensor of three dimensions of either order, tensors of each expert, codes of 4
// and 8 bits; their weights, the modules that they are, and adapters merged into them.

#include <sbora/io/adapter/adapter_tensors.hpp>
#include <sbora/io/adapter/base_fingerprint.hpp>
#include <sbora/io/bitsandbytes/bitsandbytes_writer.hpp>
#include <sbora/io/checkpoint/checkpoint_weights.hpp>
#include <sbora/io/merge/adapter_changes.hpp>
#include <sbora/io/merge/merge_in_place.hpp>
#include <sbora/io/safetensors/safetensors_writer.hpp>
#include <sbora/layers/any_grouped_linear.hpp>
#include <sbora/merge/export_merged.hpp>
#include <sbora/model/make_adapter.hpp>
#include <sbora/weights/quantize.hpp>

#include "io/temporary_directory.hpp"
#include "support/catch.hpp"
#include "support/fp8_codes.hpp"
#include "support/matrices.hpp"
#include "support/message.hpp"

using namespace sbora_tests;
using sbora::any_weight;
using sbora::model_adapter;
using sbora::storage;
using sbora::tensor_view;

namespace {

constexpr index_t experts = 3, hidden = 10, inner = 6;
const std::string owner = "m.0.mlp.experts.";

/// gate_up is 2·inner × hidden and down hidden × inner, of each expert.
std::vector<float> of_gate_up() { return random_vector<float>(experts * 2 * inner * hidden, 1); }
std::vector<float> of_down() { return random_vector<float>(experts * hidden * inner, 2); }

/// Tensors that are made, and their file.
class model_file {
 public:
  template <class Scalar>
  void add(const std::string& name, std::vector<index_t> shape, const std::vector<Scalar>& values) {
    pool_.add_owned(name, std::move(shape), values);
  }
  sbora::checkpoint write(const std::filesystem::path& path) const {
    sbora::write_safetensors(path, pool_.tensors());
    return sbora::checkpoint::open(path);
  }

 private:
  sbora::detail::tensor_pool pool_;
};

/// rows × cols of a stack, transposed.
std::vector<float> turned(const std::vector<float>& values, index_t rows, index_t cols) {
  std::vector<float> made(values.size());
  for (index_t i = 0; i < std::ssize(values); ++i) {
    const index_t e = i / (rows * cols), row = i / cols % rows, col = i % cols;
    made[static_cast<std::size_t>(e * rows * cols + col * rows + row)] = values[static_cast<std::size_t>(i)];
  }
  return made;
}

enum class layout { stacked, transposed, mixtral, qwen };
constexpr layout layouts[] = {layout::stacked, layout::transposed, layout::mixtral, layout::qwen};

model_file model_of(layout as) {
  model_file file;
  const auto gate_up = of_gate_up(), down = of_down();
  if (as == layout::stacked) {
    file.add(owner + "gate_up_proj", {experts, 2 * inner, hidden}, gate_up);
    file.add(owner + "down_proj", {experts, hidden, inner}, down);
  } else if (as == layout::transposed) {
    file.add(owner + "gate_up_proj", {experts, hidden, 2 * inner}, turned(gate_up, 2 * inner, hidden));
    file.add(owner + "down_proj", {experts, inner, hidden}, turned(down, hidden, inner));
  } else {
    const bool mixtral = as == layout::mixtral;
    const auto rows = [](const std::vector<float>& from, index_t begin, index_t count) {
      return std::vector<float>(from.begin() + begin, from.begin() + begin + count);
    };
    for (index_t e = 0; e < experts; ++e) {
      const std::string expert = (mixtral ? "m.0.block_sparse_moe.experts." : owner) + std::to_string(e) + ".";
      const index_t size = inner * hidden;
      file.add(expert + (mixtral ? "w1" : "gate_proj") + ".weight", {inner, hidden}, rows(gate_up, 2 * e * size, size));
      file.add(expert + (mixtral ? "w3" : "up_proj") + ".weight", {inner, hidden},
               rows(gate_up, (2 * e + 1) * size, size));
      file.add(expert + (mixtral ? "w2" : "down_proj") + ".weight", {hidden, inner}, rows(down, e * size, size));
    }
  }
  file.add<float>("m.0.mlp.gate.weight", {experts, hidden}, std::vector<float>(experts * hidden, 1.0F));
  file.add<float>("m.0.conv.weight", {4, 1, 3}, std::vector<float>(12, 1.0F));
  return file;
}

std::vector<float> values_of(const any_weight& weight) {
  std::vector<float> values(static_cast<std::size_t>(weight.d_out() * weight.d_in()));
  weight.visit([&](const auto& view) {
    sbora::dequantize(view, sbora::weight_view<float>(values.data(), weight.d_out(), weight.d_in()));
  });
  return values;
}

std::vector<float> all_of(const sbora::checkpoint& model, const std::string& stack) {
  std::vector<float> all;
  const sbora::checkpoint_weights weights(model);
  for (index_t e = 0; e < experts; ++e) {
    for (const any_weight& piece : weights.pieces(sbora::detail::stack_member(stack, e))) {
      const auto values = values_of(piece);
      all.insert(all.end(), values.begin(), values.end());
    }
  }
  return all;
}

std::vector<sbora::model_module> members(const std::string& stack, index_t d_out, index_t d_in) {
  std::vector<sbora::model_module> all;
  for (index_t e = 0; e < experts; ++e) all.push_back({sbora::detail::stack_member(stack, e), d_out, d_in});
  return all;
}

/// On all experts of both stacks, FA and FB.
model_adapter<float> adapter_of_experts(std::uint64_t seed) {
  auto modules = members(owner + "gate_up_proj", 2 * inner, hidden);
  for (auto& module : members(owner + "down_proj", hidden, inner)) modules.push_back(module);
  sbora::adapter_config config;
  config.kind = sbora::adapter_kind::fb;
  config.kind_pattern = {{"down_proj", sbora::adapter_kind::fa}};
  config.r = 4;
  config.target_parameters = {"experts.gate_up_proj", "experts.down_proj"};
  auto adapter = sbora::make_adapter<float>(config, modules, seed);
  fill_random(adapter.parameters(), seed);
  return adapter;
}

/// Each expert with the adapter merged.
std::vector<float> merged_values(const std::vector<float>& stack, const model_adapter<float>& adapter,
                                 const std::string& name) {
  std::vector<float> merged = stack;
  for (index_t e = 0; e < experts; ++e) {
    const auto delta = adapter.delta(sbora::detail::stack_member(name, e));
    float* const at = merged.data() + e * delta.d_out * delta.d_in;
    const sbora::weight_view<float> expert(at, delta.d_out, delta.d_in);
    const std::vector<float> before(at, at + delta.d_out * delta.d_in);
    sbora::export_merged(sbora::weight_view<const float>(before.data(), delta.d_out, delta.d_in), std::array{delta},
                         expert);
  }
  return merged;
}

}  // namespace

TEST_CASE("stacks of experts are found whatever their tensors are") {
  const temporary_directory folder;
  const sbora::region rows(2 * inner, {inner + 1, 0, inner});
  std::optional<std::uint64_t> fingerprint;
  for (const layout as : layouts) {
    CAPTURE(static_cast<int>(as));
    const auto model = model_of(as).write(folder / "model.safetensors");
    const auto stacks = sbora::expert_stacks(model);
    REQUIRE(stacks.size() == 2);
    for (const auto& stack : stacks) {
      const bool is_down = stack.name == owner + "down_proj";
      CHECK((is_down || stack.name == owner + "gate_up_proj"));
      CHECK(stack.experts == experts);
      CHECK(stack.d_out == (is_down ? hidden : 2 * inner));
      CHECK(stack.d_in == (is_down ? inner : hidden));
      CHECK(stack.order == (as == layout::transposed ? storage::in_by_out : storage::out_by_in));
      CHECK(stack.pieces == (as == layout::stacked || as == layout::transposed ? 0 : is_down ? 1 : 2));
    }
    const sbora::checkpoint_weights weights(model);
    const auto modules = weights.modules();
    index_t found = 0;
    for (const auto& expected : members(owner + "gate_up_proj", 2 * inner, hidden)) {
      found += std::ranges::count(modules, expected.name, &sbora::model_module::name);
      CHECK(weights.find(expected.name)->d_out == 2 * inner);
    }
    CHECK(found == experts);
    CHECK(all_of(model, owner + "down_proj") == of_down());
    CHECK(all_of(model, owner + "gate_up_proj") == of_gate_up());
    const auto pieces = weights.pieces(owner + "gate_up_proj[1]");
    const std::uint64_t its = sbora::base_fingerprint(pieces, sbora::adapter_kind::fb, rows);
    CHECK(its == fingerprint.value_or(its));
    fingerprint = its;
    CHECK_ERROR(sbora::checkpoint_error, "gate_up_proj[3]", weights.pieces(owner + "gate_up_proj[3]"));
    if (pieces.size() == 1) CHECK(stacks[0].pieces == 0);
    else CHECK_ERROR(sbora::checkpoint_error, "are in '", weights.weight(owner + "gate_up_proj[1]"));
    CHECK_ERROR(sbora::checkpoint_error, "down_proj[3]", weights.weight(owner + "down_proj[3]"));
    CHECK_FALSE(weights.find(owner + "down_proj[3]"));
  }
  model_file incomplete;
  for (const char* name : {"0.gate_proj", "0.up_proj", "0.down_proj", "2.gate_proj", "2.up_proj", "1.down_proj"}) {
    incomplete.add<float>(owner + name + ".weight", {2, 2}, std::vector<float>(4));
  }
  CHECK(sbora::expert_stacks(incomplete.write(folder / "incomplete.safetensors")).empty());
}

TEST_CASE("adapters of experts are merged into files, whatever the stacks' tensors are, and come out") {
  const temporary_directory folder;
  const auto file = folder / "model.safetensors";
  const model_adapter<float> adapter = adapter_of_experts(5);
  for (const layout as : layouts) {
    CAPTURE(static_cast<int>(as));
    static_cast<void>(model_of(as).write(file));
    const std::string before = read_file(file);
    const auto changes = adapter_changes(adapter, sbora::checkpoint::open(file));
    write_merged_checkpoint(sbora::checkpoint::open(file), changes, folder / "copy.safetensors");
    sbora::merge_in_place(file, changes);
    CHECK(read_file(file) == read_file(folder / "copy.safetensors"));
    {
      const auto merged = sbora::checkpoint::open(file);
      CHECK(all_of(merged, owner + "down_proj") == merged_values(of_down(), adapter, owner + "down_proj"));
      const auto gate_up = merged_values(of_gate_up(), adapter, owner + "gate_up_proj");
      if (sbora::expert_stacks(merged)[0].pieces == 0) {
        CHECK(all_of(merged, owner + "gate_up_proj") == gate_up);
      } else {
        const bool mixtral = as == layout::mixtral;
        std::vector<float> rows;
        for (index_t e = 0; e < experts; ++e) {
          const std::string expert = (mixtral ? "m.0.block_sparse_moe.experts." : owner) + std::to_string(e) + ".";
          for (const char* name : {mixtral ? "w1" : "gate_proj", mixtral ? "w3" : "up_proj"}) {
            const auto part = merged.at(expert + name + ".weight").copy<float>();
            rows.insert(rows.end(), part.begin(), part.end());
          }
        }
        CHECK(rows == gate_up);
      }
      CHECK(merged.at("m.0.mlp.gate.weight").copy<float>() == std::vector<float>(experts * hidden, 1.0F));
    }
    sbora::unmerge_in_place(file);
    CHECK(read_file(file) == before);
  }
  model_file other;
  other.add<float>("m.1.q.weight", {2, 2}, std::vector<float>(4));
  const auto model = other.write(folder / "other.safetensors");
  CHECK_ERROR(sbora::checkpoint_error, "no stack of experts 'm.0.mlp.experts.gate_up_proj'",
              adapter_changes(adapter, model));
}

TEST_CASE("experts in codes of 4 and 8 bits are modules, and one layer") {
  constexpr index_t d_out = 32, d_in = 128;
  const temporary_directory folder;
  const auto dense = random_vector<float>(experts * d_out * d_in, 3);
  const sbora::four_bit_weight codes(sbora::weight_view<const float>(dense.data(), experts * d_out, d_in));
  sbora::bitsandbytes_writer writer;
  writer.add("weight", codes.view());
  std::vector<tensor_view> tensors(writer.tensors().begin(), writer.tensors().end());
  const std::string shape = "\"shape\": [96, 128]", stacked = "\"shape\": [3, 32, 128]";
  std::string state;
  for (tensor_view& tensor : tensors) {
    if (tensor.name.find("quant_state") != std::string::npos) {
      state.assign(reinterpret_cast<const char*>(tensor.data.data()), tensor.data.size());
      state.replace(state.find(shape), shape.size(), stacked);
      tensor.data = std::as_bytes(std::span(state));
      tensor.shape = {std::ssize(state)};
    }
    tensor.name.replace(0, 6, owner + "gate_up_proj");
  }
  const auto fp8 = fp8_codes(experts * d_out, d_in, sbora::fp8_scaling::row, 4);
  const auto bytes = fp8.view().codes();
  tensors.push_back({owner + "down_proj", sbora::dtype::f8_e4m3, {experts, d_out, d_in}, std::as_bytes(bytes)});
  const auto scales = fp8.view().scales();
  tensors.push_back({owner + "down_proj_scale", sbora::dtype::f32, {experts, d_out, 1}, std::as_bytes(scales)});
  sbora::write_safetensors(folder / "model.safetensors", tensors);
  const auto model = sbora::checkpoint::open(folder / "model.safetensors");
  const sbora::checkpoint_weights weights(model);
  CHECK(weights.modules().size() == 2 * experts);
  CHECK(weights.find(owner + "gate_up_proj[2]")->d_out == d_out);
  CHECK(all_of(model, owner + "gate_up_proj") == values_of(codes.view()));
  CHECK(all_of(model, owner + "down_proj") == values_of(fp8.view()));
  for (const std::string stack : {"gate_up_proj", "down_proj"}) {
    std::vector<any_weight> all;
    for (index_t e = 0; e < experts; ++e) all.push_back(weights.weight(sbora::detail::stack_member(owner + stack, e)));
    const sbora::grouped_linear layer(all);
    const sbora::delta_list<float> none;
    CHECK(layer.experts() == experts);
    const sbora::expert_tokens routed(std::vector<index_t>{0, 2, 2, 0, 0}, 1, experts);
    Eigen::Matrix<float, 5, d_in, Eigen::RowMajor> x = Eigen::Matrix<float, 5, d_in, Eigen::RowMajor>::Random();
    Eigen::Matrix<float, 5, d_out, Eigen::RowMajor> y, expected;
    sbora::workspace memory;
    layer.forward(x, y, routed.groups(), none, memory);
    if (stack == "gate_up_proj") {
      sbora::grouped_linear(sbora::experts_of(codes.view(), experts)).forward(x, expected, routed.groups(), {}, memory);
    } else {
      sbora::grouped_linear(sbora::experts_of(fp8.view(), experts)).forward(x, expected, routed.groups(), {}, memory);
    }
    CHECK(y == expected);
  }
}
