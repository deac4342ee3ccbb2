// A checkpoint of 4 GiB is opened by its header alone.

#include <chrono>

#include <sbora/io/checkpoint/checkpoint.hpp>
#include <sbora/io/safetensors/safetensors_writer.hpp>

#include "io/resident.hpp"
#include "io/temporary_directory.hpp"
#include "support/catch.hpp"

using namespace sbora_tests;

TEST_CASE("opening a 4 GiB checkpoint takes no memory beyond its header") {
  const temporary_directory directory;
  const auto path = directory / "model.safetensors";
  std::vector<sbora::tensor_view> layout;  // 512 weights of 8 MiB
  for (int i = 0; i < 512; ++i) {
    layout.push_back({"model.layers." + std::to_string(i) + ".weight", sbora::dtype::bf16, {2048, 2048}, {}});
  }
  const std::string header = sbora::safetensors_header(layout);
  write_file(path, header);
  constexpr std::uintmax_t data = std::uintmax_t{4} << 30;
  std::error_code failed;
  std::filesystem::resize_file(path, header.size() + data, failed);
  if (failed) {
    WARN("not tested: this file system has no room for a sparse file: " << failed.message());
    return;
  }

  {  // the allocator's own first pages, and the program's: instrumented code alone is hundreds of KiB
    const sbora::checkpoint warm = sbora::checkpoint::open(path);
    CHECK(warm.at("model.layers.99.weight").as_weight<Eigen::bfloat16>().d_in() == 2048);
  }
  const long before = resident();
  const auto start = std::chrono::steady_clock::now();
  const sbora::checkpoint model = sbora::checkpoint::open(path);
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
  const long opened = resident() - before;
  CHECK(model.tensors().size() == 512);
  CHECK(opened < 1 << 20);

  // No page of the data: what was touched of the mapping is in the page tables of this process, and resident.
  const sbora::tensor_view& last = model.at("model.layers.99.weight");
  CHECK(last.data.size() == std::size_t{8} << 20);
  CHECK(last.as_weight<Eigen::bfloat16>().d_in() == 2048);
  const long viewed = resident() - before;
  CHECK(viewed < 1 << 20);
  CHECK(last.values<Eigen::bfloat16>().back() == Eigen::bfloat16(0));
  WARN("opened in " << took.count() << " ms; memory grew by " << opened << " bytes, the header has " << header.size());
}
