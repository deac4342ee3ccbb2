// What a checkpoint of a run remembers of its base and its data: every bit of what is trained on.

#include "support/catch.hpp"
#include "support/message.hpp"

#include <filesystem>
#include <fstream>

#include <sbora/io/checkpoint/checkpoint.hpp>
#include <sbora/io/safetensors/safetensors_writer.hpp>

#include "model/adapter_files.hpp"
#include "training/fingerprint.hpp"
#include "training/hash.hpp"
#include "common/json_file.hpp"
#include "tiny_model.hpp"

using namespace llama;
using namespace llama::test;

namespace {

/// A model's folder whose weights are all larger than a page.
struct model_folder {
  model_folder() {
    std::filesystem::remove_all(path);
    model_config config = tiny_config();
    config.hidden_size = 1200;  // norms of 4800 bytes
    config.num_attention_heads = 6;
    config.head_dim = 200;
    config.num_hidden_layers = 1;
    save_merged(model::random(config, 3), path);
  }
  ~model_folder() { std::filesystem::remove_all(path); }
  std::filesystem::path file() const { return path / "model.safetensors"; }

  std::filesystem::path path = std::filesystem::temp_directory_path() / "sbora_llama_fingerprint_test";
};

/// The lowest bit of one byte of a file.
void flip(const std::filesystem::path& path, std::size_t at) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(static_cast<std::streamoff>(at));
  const char byte = static_cast<char>(file.get() ^ 1);
  file.seekp(static_cast<std::streamoff>(at));
  file.put(byte);
  REQUIRE(file.good());
}

std::vector<sbora::tensor_view> copy(const std::vector<const sbora::tensor_view*>& tensors) {
  std::vector<sbora::tensor_view> copies;
  for (const sbora::tensor_view* tensor : tensors) copies.push_back(*tensor);
  return copies;
}

}  // namespace

TEST_CASE("content_hash: XXH3 of 128 bits, and texts with their lengths") {
  CHECK(content_hash().text() == "99aa06d3014798d86001c324468d497f");  // xxhsum -H2 of nothing
  const std::string text = "sbora";
  const auto bytes = std::as_bytes(std::span(text));
  CHECK(content_hash().add(bytes).text() == content_hash().add(bytes.first(2)).add(bytes.subspan(2)).text());
  CHECK(content_hash().add("ab").add("c").text() != content_hash().add("a").add("bc").text());
}

TEST_CASE("fingerprint: one bit of any weight, wherever it is, makes another") {
  const model_folder folder;
  const std::string before = fingerprint_of(folder.path);
  CHECK(fingerprint_of(folder.path) == before);
  std::vector<std::size_t> places;
  {
    const auto file = sbora::safetensors_file::open(folder.file());
    const std::size_t all = std::filesystem::file_size(folder.file());
    const std::byte* first = file.tensors().front().data.data();
    for (const auto& tensor : file.tensors()) first = std::min(first, tensor.data.data());
    std::size_t bytes = 0;
    for (const auto& tensor : file.tensors()) bytes += tensor.data.size();
    for (const auto& tensor : file.tensors()) {
      const auto begin = all - bytes + static_cast<std::size_t>(tensor.data.data() - first);
      for (const std::size_t at : {std::size_t{0}, std::size_t{4096}, tensor.data.size() / 2, tensor.data.size() - 1}) {
        places.push_back(begin + at);
      }
    }
  }
  REQUIRE(places.size() == 4 * 12);
  for (const std::size_t at : places) {
    CAPTURE(at);
    flip(folder.file(), at);
    CHECK(fingerprint_of(folder.path) != before);
    flip(folder.file(), at);
  }
  CHECK(fingerprint_of(folder.path) == before);
}

TEST_CASE("fingerprint: how tensors are shared out to files doesn't count; names, types, shapes and config.json do") {
  const model_folder folder, other;
  const std::filesystem::path sharded = folder.path.string() + "_sharded";
  std::filesystem::remove_all(sharded);
  std::filesystem::create_directories(sharded);
  std::filesystem::copy_file(folder.path / "config.json", sharded / "config.json");
  const std::string before = fingerprint_of(folder.path);
  const auto whole = sbora::safetensors_file::open(folder.file());
  std::vector<const sbora::tensor_view*> halves[2];
  nlohmann::json index;
  for (std::size_t i = 0; i < whole.tensors().size(); ++i) {
    halves[i % 2].push_back(&whole.tensors()[i]);
    index["weight_map"][whole.tensors()[i].name] = i % 2 ? "b.safetensors" : "a.safetensors";
  }
  sbora::write_safetensors(sharded / "a.safetensors", copy(halves[0]), {{"format", "pt"}});
  sbora::write_safetensors(sharded / "b.safetensors", copy(halves[1]));
  write_file(sharded / "model.safetensors.index.json", index.dump());
  CHECK(fingerprint_of(sharded) == before);

  auto changed = copy(halves[0]);
  REQUIRE(changed[0].shape.size() == 2);
  std::swap(changed[0].shape[0], changed[0].shape[1]);
  sbora::write_safetensors(sharded / "a.safetensors", changed);
  CHECK(fingerprint_of(sharded) != before);
  sbora::write_safetensors(sharded / "a.safetensors", copy(halves[0]));
  CHECK(fingerprint_of(sharded) == before);
  write_file(sharded / "config.json", read_file(folder.path / "config.json") + " ");
  CHECK(fingerprint_of(sharded) != before);
  std::filesystem::remove_all(sharded);
}

TEST_CASE("fingerprint: data are their tokens and labels, and where an example ends") {
  const auto of = [](std::vector<example> examples) {
    return fingerprint_of(dataset{.examples = std::move(examples)});
  };
  const std::string before = of({{{1, 2}, {1, 2}}, {{3}, {3}}});
  CHECK(of({{{1, 2}, {1, 2}}, {{3}, {3}}}) == before);
  CHECK(of({{{1, 2}, {-100, 2}}, {{3}, {3}}}) != before);
  CHECK(of({{{1, 4}, {1, 2}}, {{3}, {3}}}) != before);
  CHECK(of({{{1}, {1}}, {{2, 3}, {2, 3}}}) != before);
  CHECK(of({{{3}, {3}}, {{1, 2}, {1, 2}}}) != before);
  CHECK(of({{{1, 2}, {1, 2}}}) != before);
}
