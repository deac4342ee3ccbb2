// Adapters merged into copies of checkpoints: the bits of merging in memory, everything else as it was.

#include <sys/stat.h>

#include "io/merge/merge_case.hpp"
#include "io/resident.hpp"
#include "support/catch.hpp"
#include "support/message.hpp"

using namespace sbora_tests;
using sbora::checkpoint;
using sbora::storage;
using sbora::weight_changes;
using sbora::write_merged_checkpoint;
using sbora::write_merged_tensors;

namespace {

const auto fa = random_fa(48, 40, 5, 1);
const auto fb = random_fb(48, 40, 3, 2);

/// FA into a, FB into b, FA into c, which is transposed.
weight_changes three_changes() {
  return {{"a.weight", {{fa.delta()}}}, {"b.weight", {{fb.delta()}}}, {"c.weight", {{fa.delta()}, storage::in_by_out}}};
}

void check_merged(const checkpoint& merged, const small_model& old) {
  CHECK(bytes_of_tensor(merged.at("a.weight")) == merged_in_memory(old.w32, fa));
  CHECK(bytes_of_tensor(merged.at("b.weight")) == merged_in_memory(old.w16, fb));
  CHECK(bytes_of_tensor(merged.at("c.weight")) == merged_in_memory(old.wh, fa, storage::in_by_out));
}

}  // namespace

TEST_CASE("changed tensors alone, with the bits of a merger") {
  const temporary_directory directory;
  const small_model old;
  old.write_single(directory / "model.safetensors");
  std::uint64_t done = 0, total = 0;
  write_merged_tensors(checkpoint::open(directory.path()), three_changes(), directory / "changed.safetensors",
                       {{"from", "test"}}, [&](std::uint64_t now, std::uint64_t all) { done = now, total = all; });
  const checkpoint changed = checkpoint::open(directory / "changed.safetensors");
  CHECK(changed.tensors().size() == 3);
  CHECK(changed.files()[0].metadata() == std::map<std::string, std::string>{{"from", "test"}});
  check_merged(changed, old);
  CHECK(total == 48 * 40 * (4 + 2 + 2));
  CHECK(done == total);
}

TEST_CASE("every type and kind of both orders has the bits of a merger") {
  const temporary_directory directory;
  const auto check = [&](auto scalar, const auto& adapter, storage order, index_t rows, index_t cols) {
    using Scalar = decltype(scalar);
    const auto values = random_vector<Scalar>(rows * cols, 5);
    write_safetensors(directory / "x", std::vector{tensor_of("w", values, {rows, cols})});
    write_merged_tensors(checkpoint::open(directory / "x"), {{"w", {{adapter.delta()}, order}}}, directory / "y");
    const auto merged = checkpoint::open(directory / "y");
    CHECK(bytes_of_tensor(merged.at("w")) == merged_in_memory(values, adapter, order));
  };
  const auto check_all = [&](auto scalar) {
    for (const auto& [d_out, d_in] : {std::pair<index_t, index_t>{1, 1}, {33, 65}, {300, 7}}) {
      const index_t rank = std::min(d_out, d_in) == 1 ? 1 : 4;
      check(scalar, random_fa(d_out, d_in, rank, 3), storage::out_by_in, d_out, d_in);
      check(scalar, random_fb(d_out, d_in, rank, 4), storage::out_by_in, d_out, d_in);
      check(scalar, random_fa(d_out, d_in, rank, 5), storage::in_by_out, d_in, d_out);
      check(scalar, random_fb(d_out, d_in, rank, 6), storage::in_by_out, d_in, d_out);
    }
  };
  check_all(0.0F);
  check_all(Eigen::bfloat16{});
  check_all(Eigen::half{});
}

TEST_CASE("several deltas that share elements have the bits of export_merged; disabled ones are left out") {
  const temporary_directory directory;
  const small_model old;
  old.write_single(directory / "x");
  const auto more = random_fa(48, 40, 9, 7);
  auto disabled = random_fb(48, 40, 9, 8);
  disabled.set_enabled(false);
  const std::vector<sbora::weight_delta<float>> deltas = {fa.delta(), fb.delta(), more.delta(), disabled.delta()};
  write_merged_tensors(checkpoint::open(directory / "x"),
                       {{"a.weight", {deltas}},
                        {"b.weight", {deltas}},
                        {"norm", {}},
                        {"c.weight", {{disabled.delta()}, storage::in_by_out}}},
                       directory / "y");
  const checkpoint merged = checkpoint::open(directory / "y");
  std::vector<float> expected(48 * 40);
  export_merged(sbora::weight_view<const float>(old.w32.data(), 48, 40), std::span(deltas),
                sbora::weight_view<float>(expected.data(), 48, 40));
  CHECK(merged.at("a.weight").copy<float>() == expected);
  std::vector<Eigen::bfloat16> rounded(48 * 40);
  export_merged(sbora::weight_view<const Eigen::bfloat16>(old.w16.data(), 48, 40), std::span(deltas),
                sbora::weight_view<Eigen::bfloat16>(rounded.data(), 48, 40));
  CHECK(same_bits<Eigen::bfloat16>(merged.at("b.weight").values<Eigen::bfloat16>(), rounded));
  CHECK(merged.at("norm").copy<float>() == old.w32);
  CHECK(same_bits<Eigen::half>(merged.at("c.weight").values<Eigen::half>(), old.wh));
}

TEST_CASE("a whole checkpoint keeps every other byte, in one file and over shards") {
  const temporary_directory directory;
  const small_model old;
  old.write_single(directory / "model.safetensors");
  write_merged_checkpoint(checkpoint::open(directory.path()), three_changes(), directory / "copy.safetensors");
  std::filesystem::create_directory(directory / "shards");
  old.write_shards(directory / "shards");
  std::uint64_t done = 0, total = 0;
  write_merged_checkpoint(checkpoint::open(directory / "shards/model.safetensors.index.json"), three_changes(),
                          directory / "merged/shards",
                          [&](std::uint64_t now, std::uint64_t all) { done = now, total = all; });
  CHECK(done == total);
  CHECK(total == std::filesystem::file_size(directory / "shards/model-1.safetensors") +
                     std::filesystem::file_size(directory / "shards/model-2.safetensors"));
  CHECK(read_file(directory / "merged/shards/model.safetensors.index.json") ==
        read_file(directory / "shards/model.safetensors.index.json"));
  for (const auto& path : {directory / "copy.safetensors", directory / "merged/shards/model.safetensors.index.json"}) {
    const checkpoint merged = checkpoint::open(path);
    check_merged(merged, old);
    CHECK(merged.tensors().size() == 5);
    CHECK(merged.at("odd").copy<std::uint8_t>() == old.odd);
    CHECK(merged.at("norm").copy<float>() == old.w32);
    for (const auto& file : merged.files()) CHECK(file.metadata().at("format") == "pt");
  }
  // Nothing but the changed tensors' bytes differs.
  const std::string before = read_file(directory / "model.safetensors"),
                    after = read_file(directory / "copy.safetensors");
  const auto file = sbora::safetensors_file::open(directory / "model.safetensors");
  REQUIRE(before.size() == after.size());
  for (std::size_t i = 0; i < before.size(); ++i) {
    if (before[i] == after[i]) continue;
    const bool inside =
        std::any_of(file.tensors().begin(), file.tensors().end(), [&](const sbora::tensor_view& tensor) {
          const auto begin = static_cast<std::size_t>(tensor.data.data() - file.bytes().data());
          return tensor.name.ends_with(".weight") && i >= begin && i < begin + tensor.data.size();
        });
    if (!inside) FAIL_CHECK("byte " << i << " differs");
  }

  std::filesystem::create_directory(directory / "into");
  write_merged_checkpoint(checkpoint::open(directory.path()), {}, directory / "into");
  CHECK(read_file(directory / "into/model.safetensors") == before);
}

TEST_CASE("all changes that can't be made are named, and nothing is written") {
  const temporary_directory directory;
  const small_model old;
  old.write_single(directory / "model.safetensors");
  write_file(directory / "to", "old");
  const checkpoint model = checkpoint::open(directory.path());
  const weight_changes wrong = {{"a.weight", {{fa.delta()}, storage::in_by_out}},
                                {"b", {{fa.delta()}}},
                                {"norm", {{fb.delta()}}},
                                {"odd", {{fb.delta()}}},
                                {"b.weight", {{fa.delta()}}}};
  for (const bool whole : {true, false}) {
    try {
      whole ? write_merged_checkpoint(model, wrong, directory / "to")
            : write_merged_tensors(model, wrong, directory / "to");
      FAIL("was merged");
    } catch (const sbora::checkpoint_error& error) {
      CHECK(error.problems() ==
            std::vector<std::string>{"tensor 'a.weight' has shape [48, 40], the adapter is for [40, 48]",
                                     "no tensor 'b'", "tensor 'norm' has shape [1920], the adapter is for [48, 40]",
                                     "tensor 'odd' is U8, expected F32, BF16 or F16"});
    }
  }
  CHECK_ERROR(sbora::file_error, "mapped into memory",
              write_merged_checkpoint(model, three_changes(), directory.path()));

  auto endless = random_fa(48, 40, 5, 1);
  endless.parameters()[5 * 7 + 2] = std::numeric_limits<float>::infinity();
  const std::string place = "row 7, column " + std::to_string(endless.target().indices()[2]);
  CHECK_ERROR(sbora::not_finite_error, place + " of 'a.weight' not finite",
              write_merged_checkpoint(model, {{"a.weight", {{endless.delta()}}}}, directory / "to"));
  CHECK_ERROR(sbora::not_finite_error, place + " of 'c.weight' not finite",
              write_merged_tensors(model, {{"c.weight", {{endless.delta()}, storage::in_by_out}}}, directory / "to"));
  auto large = random_fa(48, 40, 5, 1);
  std::fill(large.parameters().begin(), large.parameters().end(), 200000.0F);  // finite, but not as a half
  CHECK_ERROR(sbora::not_finite_error, "of 'c.weight' not finite",
              write_merged_tensors(model, {{"c.weight", {{large.delta()}, storage::in_by_out}}}, directory / "to"));
  CHECK_THROWS_AS(write_merged_checkpoint(model, three_changes(), directory / "to",
                                          [](std::uint64_t, std::uint64_t) { throw std::runtime_error("stop"); }),
                  std::runtime_error);
  CHECK((read_file(directory / "to") == "old"));
  CHECK(std::distance(std::filesystem::directory_iterator(directory.path()), {}) == 2);
}

TEST_CASE("copying streams: memory stays below 64 MiB") {
  const temporary_directory directory;
  const auto path = directory / "large.safetensors";
  std::vector<sbora::tensor_view> layout;
  for (int i = 0; i < 12; ++i) layout.push_back({"w" + std::to_string(i), sbora::dtype::bf16, {2048, 4096}, {}});
  const std::string header = sbora::safetensors_header(layout);
  write_file(path, header);
  std::filesystem::resize_file(path, header.size() + (std::uintmax_t{192} << 20));
  const auto columns = random_fa(2048, 4096, 16, 1);
  const auto rows = random_fb(2048, 4096, 16, 1);
  const checkpoint model = checkpoint::open(path);
  const long before = resident();
  long most = before;
  write_merged_checkpoint(model, {{"w3", {{columns.delta()}}}, {"w4", {{rows.delta()}}}}, directory / "copy",
                          [&](std::uint64_t, std::uint64_t) { most = std::max(most, resident()); });
  CHECK(most - before < 64 << 20);
  WARN("copying 192 MiB took " << ((most - before) >> 10) << " KiB of memory");
}

TEST_CASE("directories that were made for what fails are gone again, and those that were there stay") {
  const temporary_directory directory;
  const small_model old;
  old.write_shards(directory.path());
  auto endless = random_fa(48, 40, 5, 1);
  endless.parameters().back() = std::numeric_limits<float>::quiet_NaN();
  const sbora::checkpoint model = sbora::checkpoint::open(directory.path());
  const sbora::weight_changes changes = {{"b.weight", {{endless.delta()}}}};
  std::filesystem::create_directories(directory / "there");
  for (const char* name : {"new/deeper/deepest", "there/new"}) {
    CHECK_ERROR(sbora::not_finite_error, "not finite", write_merged_checkpoint(model, changes, directory / name));
  }
  CHECK_FALSE(std::filesystem::exists(directory / "new"));
  CHECK(std::filesystem::is_empty(directory / "there"));
}
