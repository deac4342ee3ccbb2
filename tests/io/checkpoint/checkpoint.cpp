// Checkpoints in one file, over shards, and in directories; everything wrong at once.

#include <sys/stat.h>

#include <sbora/io/checkpoint/checkpoint.hpp>

#include "io/safetensors_text.hpp"
#include "io/temporary_directory.hpp"
#include "support/catch.hpp"
#include "support/message.hpp"

using namespace sbora_tests;
using sbora::checkpoint;

namespace {

/// A file of U8 tensors of one element each, whose bytes are 1, 2, 3, ...
void write_tensors(const std::filesystem::path& path, const std::vector<std::string>& names) {
  std::string header = "{", data;
  for (const std::string& name : names) {
    const std::string begin = std::to_string(data.size());
    data += static_cast<char>(data.size() + 1);
    header += (header.size() == 1 ? "\"" : ",\"") + name + R"(":{"dtype":"U8","shape":[1],"data_offsets":[)" + begin +
              "," + std::to_string(data.size()) + "]}";
  }
  const auto bytes = safetensors_bytes(header + "}");
  write_file(path, std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()) + data);
}

std::vector<std::string> problems_of(const std::filesystem::path& path) {
  try {
    checkpoint::open(path);
  } catch (const sbora::checkpoint_error& error) {
    for (const std::string& problem : error.problems()) CHECK_THAT(error.what(), contains(problem));
    return error.problems();
  }
  return {};
}

const std::string two_shards =
    R"({"metadata":{"total_size":3},"weight_map":{"a":"s2.safetensors","b":"s1.safetensors","c":"s2.safetensors"}})";

}  // namespace

TEST_CASE("one file, by its name or its directory's") {
  const temporary_directory directory;
  write_tensors(directory / "model.safetensors", {"b", "a"});
  for (const auto& path : {directory.path(), directory / "model.safetensors"}) {
    const checkpoint model = checkpoint::open(path);
    CHECK(model.shards() == std::vector<std::filesystem::path>{directory / "model.safetensors"});
    CHECK(model.index().empty());
    REQUIRE(model.tensors().size() == 2);
    CHECK(model.tensors()[0].name == "b");
    CHECK(model.at("a").copy<std::uint8_t>() == std::vector<std::uint8_t>{2});
    CHECK(model.find("c") == nullptr);
    CHECK_ERROR(sbora::format_error, "model.safetensors: missing tensor: no tensor 'c'", model.at("c"));
  }
}

TEST_CASE("shards by their index, and what points into them stays when the checkpoint moves") {
  const temporary_directory directory;
  write_tensors(directory / "s1.safetensors", {"b"});
  write_tensors(directory / "s2.safetensors", {"a", "c"});
  write_file(directory / "model.safetensors.index.json", two_shards);
  checkpoint first = checkpoint::open(directory.path());
  const sbora::tensor_view* const c = first.find("c");
  const checkpoint model = std::move(first);
  CHECK(model.find("c") == c);
  CHECK(c->copy<std::uint8_t>() == std::vector<std::uint8_t>{2});
  CHECK(model.shards() == std::vector{directory / "s1.safetensors", directory / "s2.safetensors"});
  CHECK(model.index() == directory / "model.safetensors.index.json");
  CHECK(model.tensors().size() == 3);
  CHECK(model.tensors()[0].name == "b");
  const auto by_index = checkpoint::open(directory / "model.safetensors.index.json");
  CHECK(by_index.files().size() == 2);
  CHECK_ERROR(sbora::format_error, "index.json: missing tensor: no tensor 'd'", model.at("d"));

  write_tensors(directory / "model.safetensors", {"whole"});  // what transformers takes first
  const auto whole = checkpoint::open(directory.path());
  CHECK(whole.find("whole") != nullptr);
}

TEST_CASE("everything that is wrong with a sharded checkpoint, at once") {
  const temporary_directory directory;
  const auto index = directory / "model.safetensors.index.json";
  write_file(
      index,
      R"({"weight_map":{"a":"s2","b":"s1","c":"s2","d":"gone","e":"../up","f":"/etc/passwd","g":"broken","h":"s1","i":""}})");
  write_tensors(directory / "s1", {"b", "a", "unknown"});
  write_tensors(directory / "s2", {"a"});
  write_file(directory / "broken", "broken");
  const std::vector<std::string> found = problems_of(index);
  const auto at = [&](const char* name) { return (directory / name).string(); };
  const std::vector<std::string> expected = {
      "shard '' isn't below the directory of the index",
      "shard '../up' isn't below the directory of the index",
      "shard '/etc/passwd' isn't below the directory of the index",
      "sbora: " + at("broken") + ": header too small: bytes = 6, expected 8; download or save the file again",
      "sbora: opening " + at("gone") + ": No such file or directory; give the path of one that is there",
      "tensor 'c' isn't in 's2', where the index has it",
      "tensor 'h' isn't in 's1', where the index has it",
      "tensor 'a' is in 's1', the index has it in 's2'",
      "tensor 'unknown' is in 's1' and not in the index"};
  CHECK(found == expected);
}

TEST_CASE("indices that are none") {
  const temporary_directory directory;
  const auto index = directory / "x.index.json";
  const auto refused = [&](const std::string& text, const std::string& why) {
    write_file(index, text);
    CHECK_ERROR(sbora::format_error, why, checkpoint::open(index));
    CHECK_ERROR(sbora::format_error, index.string() + ": invalid json: ", checkpoint::open(index));
  };
  refused("", "parse error");
  refused("{", "parse error");
  refused("{} x", "parse error");
  refused("[]", "expected an object with an object weight_map");
  refused("{}", "expected an object with an object weight_map");
  refused(R"({"weight_map":[]})", "expected an object with an object weight_map");
  refused(R"({"weight_map":{"a":1}})", "'a' has to be the name of a file");
  refused(R"({"weight_map":{"a":"s1","a":"s2"}})", "key 'a' twice");
  refused(R"({"weight_map":{}} )" + std::string(1, '\0'), "a NUL");
  refused("\xEF\xBB\xBF{}", "a byte order mark");
  refused("{\"weight_map\":{\"\xff\":\"s\"}}", "parse error");
  refused(std::string(200, '['), "deeper than 128 levels");
  refused(std::string(1'000'000, '['), "deeper than 128 levels");
}

TEST_CASE("files that aren't there, or aren't files") {
  const temporary_directory directory;
  const auto code_of = [](const std::filesystem::path& path) {
    try {
      checkpoint::open(path);
    } catch (const sbora::file_error& error) {
      CHECK(error.path() == path);
      return error.code();
    }
    return 0;
  };
  CHECK(code_of(directory / "none.safetensors") == ENOENT);
  CHECK(code_of(directory / "none.index.json") == ENOENT);
  CHECK(code_of(directory.path()) == ENOENT);
  CHECK_ERROR(sbora::file_error, "neither model.safetensors nor model.safetensors.index.json",
              checkpoint::open(directory.path()));
  CHECK_ERROR(sbora::file_error, "none.safetensors: No such file or directory",
              checkpoint::open(directory / "none.safetensors"));
  CHECK_ERROR(sbora::file_error, "Is a directory", sbora::safetensors_file::open(directory.path()));
  REQUIRE(::mkfifo((directory / "pipe").c_str(), 0600) == 0);
  CHECK(code_of(directory / "pipe") == EINVAL);
  write_file(directory / "empty", "");
  CHECK_ERROR(sbora::format_error, "empty: header too small: bytes = 0", checkpoint::open(directory / "empty"));
}
