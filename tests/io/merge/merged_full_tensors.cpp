// Full tensors merged into files: whatever shape and type, with adapters of other tensors beside them, as copies, alone
// and in place, and back to the last byte.

#include <limits>

#include <sbora/io/merge/adapter_changes.hpp>
#include <sbora/io/merge/merge_in_place.hpp>
#include <sbora/io/safetensors/safetensors_writer.hpp>
#include <sbora/merge/full_tensor_merger.hpp>
#include <sbora/model/make_adapter.hpp>

#include "io/temporary_directory.hpp"
#include "support/matrices.hpp"
#include "support/message.hpp"

using namespace sbora_tests;
using sbora::full_tensor;
using sbora::model_adapter;

namespace {

/// A weight, a normalisation, a head, a scalar and a stack of matrices.
template <class Scalar>
void write_model(const std::filesystem::path& file) {
  const auto w = random_vector<Scalar>(6 * 5, 1), norm = random_vector<Scalar>(5, 2),
             head = random_vector<Scalar>(35, 3), gain = random_vector<Scalar>(1, 4),
             stack = random_vector<Scalar>(24, 5);
  const auto tensor = [](std::string name, std::vector<index_t> shape, const std::vector<Scalar>& values) {
    return sbora::tensor_view{std::move(name), sbora::dtype_of<Scalar>, std::move(shape),
                              std::as_bytes(std::span(values))};
  };
  const std::vector<sbora::tensor_view> tensors = {tensor("m.q.weight", {6, 5}, w), tensor("m.norm.weight", {5}, norm),
                                                   tensor("head.weight", {7, 5}, head), tensor("m.gain", {}, gain),
                                                   tensor("m.stack", {2, 3, 4}, stack)};
  sbora::write_safetensors(file, tensors);
}

model_adapter<float> adapter() {
  sbora::adapter_config config;
  config.kind = sbora::adapter_kind::fa;
  config.r = 2;
  config.target_modules.names = {"q"};
  const std::vector<sbora::model_module> modules = {{"m.q", 6, 5}};
  auto made = sbora::make_adapter<float>(config, modules, 3);
  fill_random(made.parameters(), 4);
  made.set_full_tensors({{"m.norm.weight", {5}, random_vector<float>(5, 12)},
                         {"head.weight", {7, 5}, random_vector<float>(35, 13)},
                         {"m.gain", {}, random_vector<float>(1, 14)},
                         {"m.stack", {2, 3, 4}, random_vector<float>(24, 15)}});
  return made;
}

template <class Scalar>
void check_merged(const sbora::checkpoint& merged, const model_adapter<float>& from) {
  for (const full_tensor<float>& tensor : from.full_tensors()) {
    CAPTURE(tensor.name());
    const std::vector<Scalar> values = merged.at(tensor.name()).copy<Scalar>();
    std::vector<Scalar> in_memory(tensor.parameters().size());
    sbora::full_tensor_merger<Scalar> merger{std::span<Scalar>(in_memory)};
    merger.merge(tensor);
    CHECK(same_bits<Scalar>(values, in_memory));
  }
}

}  // namespace

TEMPLATE_TEST_CASE("full tensors are merged into copies and in place, and come back", "", float, Eigen::bfloat16,
                   Eigen::half) {
  const temporary_directory folder;
  const auto file = folder / "model.safetensors";
  write_model<TestType>(file);
  const std::string before = read_file(file);
  const model_adapter<float> from = adapter();
  const sbora::weight_changes changes = adapter_changes(from);
  CHECK(changes.size() == 5);
  {
    const auto base = sbora::checkpoint::open(file);
    write_merged_checkpoint(base, changes, folder / "copy.safetensors");
    write_merged_tensors(base, changes, folder / "changed.safetensors");
  }
  check_merged<TestType>(sbora::checkpoint::open(folder / "copy.safetensors"), from);
  check_merged<TestType>(sbora::checkpoint::open(folder / "changed.safetensors"), from);

  sbora::merge_in_place(file, changes);
  CHECK(sbora::is_merged_in_place(file));
  CHECK(read_file(file) == read_file(folder / "copy.safetensors"));
  sbora::unmerge_in_place(file);
  CHECK(read_file(file) == before);
}

TEST_CASE("a full tensor that doesn't fit changes nothing") {
  const temporary_directory folder;
  const auto file = folder / "model.safetensors";
  write_model<Eigen::half>(file);
  const std::string before = read_file(file);
  model_adapter<float> from = adapter();
  const auto refused = [&](full_tensor<float> tensor) {
    from.set_full_tensors({std::move(tensor)});
    return message_of<sbora::error>([&] { sbora::merge_in_place(file, adapter_changes(from)); });
  };
  CHECK_THAT(refused({"m.norm.weight", {1, 5}, random_vector<float>(5, 1)}),
             contains("'m.norm.weight' has shape [5], the adapter's is [1, 5]"));
  CHECK_THAT(refused({"m.norm.bias", {5}, random_vector<float>(5, 1)}), contains("no tensor 'm.norm.bias'"));
  CHECK_THAT(refused({"m.norm.weight", {5}, {1, 2, 3, 70000, 5}}), contains("column 3 of 'm.norm.weight'"));
  const float nan = std::numeric_limits<float>::quiet_NaN();
  CHECK_THAT(refused({"m.gain", {}, {nan}}), contains("not finite"));
  const full_tensor<float> both = {"m.q.weight", {6, 5}, random_vector<float>(30, 1)};
  sbora::weight_changes changes = adapter_changes(from);
  changes.at("m.q.weight").full = &both;
  CHECK_ERROR(sbora::checkpoint_error, "has an adapter, and a full tensor in its place",
              sbora::merge_in_place(file, changes));
  CHECK(read_file(file) == before);
  CHECK_FALSE(sbora::is_merged_in_place(file));
}
