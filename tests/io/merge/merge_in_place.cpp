// Merging into a file where it lies, and back: to the last bit, also after errors and after being killed.

#include <csignal>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <sbora/executors/thread_pool.hpp>

#include "io/merge/merge_case.hpp"
#include "support/catch.hpp"
#include "support/message.hpp"

using namespace sbora_tests;
using sbora::checkpoint;
using sbora::merge_in_place;
using sbora::storage;
using sbora::weight_changes;
using sbora::write_merged_checkpoint;
using sbora::write_merged_tensors;
using sbora::write_safetensors;

namespace {

const auto fa = random_fa(48, 40, 5, 1);
const auto fb = random_fb(48, 40, 3, 2);

weight_changes three_changes() {
  return {{"a.weight", {{fa.delta(), fb.delta()}}},
          {"b.weight", {{fb.delta()}}},
          {"c.weight", {{fa.delta()}, storage::in_by_out}}};
}

std::size_t files_in(const std::filesystem::path& directory) {
  return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(directory), {}));
}

}  // namespace

TEST_CASE("merged in place and restored, in one file and over shards") {
  const small_model old;
  for (const bool sharded : {false, true}) {
    const temporary_directory directory, copy;
    const std::vector<std::string> names = sharded
                                               ? std::vector<std::string>{"model-1.safetensors", "model-2.safetensors"}
                                               : std::vector<std::string>{"model.safetensors"};
    sharded ? old.write_shards(directory.path()) : old.write_single(directory / "model.safetensors");
    write_merged_checkpoint(checkpoint::open(directory.path()), three_changes(), copy.path());
    std::vector<std::string> before;
    for (const std::string& name : names) before.push_back(read_file(directory / name));
    CHECK(!sbora::is_merged_in_place(directory.path()));

    std::uint64_t done = 0, total = 1;
    merge_in_place(directory.path(), three_changes(),
                   [&](std::uint64_t now, std::uint64_t all) { done = now, total = all; });
    CHECK(done == total);
    CHECK(sbora::is_merged_in_place(directory.path()));
    for (const std::string& name : names) CHECK((read_file(directory / name) == read_file(copy / name)));
    CHECK_ERROR(sbora::merge_error, "is merged in place already: unmerge_in_place restores it",
                merge_in_place(directory.path(), three_changes()));
    for (const std::string& name : names) CHECK((read_file(directory / name) == read_file(copy / name)));

    sbora::unmerge_in_place(directory.path());
    for (std::size_t i = 0; i < names.size(); ++i) CHECK((read_file(directory / names[i]) == before[i]));
    CHECK(files_in(directory.path()) == names.size() + (sharded ? 1 : 0));
    CHECK_ERROR(sbora::merge_error, "nothing is merged in place", sbora::unmerge_in_place(directory.path()));
  }
}

TEST_CASE("rows merged on two threads have the bytes of one") {
  const temporary_directory directory;
  const auto values = random_vector<Eigen::bfloat16>(300 * 500, 1);
  write_safetensors(directory / "x.safetensors", std::vector{tensor_of("w", values, {300, 500})});
  const auto columns = random_fa(300, 500, 9, 1);
  const auto rows = random_fb(300, 500, 9, 2);
  const sbora::weight_changes changes = {{"w", {{columns.delta(), rows.delta()}}}};
  sbora::thread_pool pool(2);
  const std::string before = read_file(directory / "x.safetensors");
  {
    const checkpoint model = checkpoint::open(directory / "x.safetensors");
    write_merged_checkpoint(model, changes, directory / "one");
    write_merged_checkpoint(model, changes, directory / "two", {}, pool);
    write_merged_tensors(model, changes, directory / "tensors", {}, {}, pool);
  }
  merge_in_place(directory / "x.safetensors", changes, {}, pool);
  const std::string merged = read_file(directory / "one");
  CHECK(merged != before);
  CHECK((read_file(directory / "two") == merged));
  CHECK((read_file(directory / "x.safetensors") == merged));
  {
    const checkpoint alone = checkpoint::open(directory / "tensors"), whole = checkpoint::open(directory / "one");
    CHECK(bytes_of_tensor(alone.at("w")) == bytes_of_tensor(whole.at("w")));
  }
  sbora::unmerge_in_place(directory / "x.safetensors");
  CHECK((read_file(directory / "x.safetensors") == before));

  auto endless = random_fa(300, 500, 9, 1);
  endless.parameters()[9 * 290 + 4] = endless.parameters()[9 * 7 + 3] = std::numeric_limits<float>::infinity();
  CHECK_ERROR(sbora::not_finite_error, "row 7, column " + std::to_string(endless.target().indices()[3]),
              merge_in_place(directory / "x.safetensors", {{"w", {{endless.delta()}}}}, {}, pool));
  CHECK((read_file(directory / "x.safetensors") == before));
}

TEST_CASE("what can't be merged in place changes nothing and leaves nothing behind") {
  const temporary_directory directory;
  const auto path = directory / "model.safetensors";
  const small_model old;
  old.write_single(path);
  const std::string before = read_file(path);
  const auto unchanged = [&] {
    CHECK((read_file(path) == before));
    CHECK(files_in(directory.path()) == 1);
  };
  CHECK_ERROR(sbora::checkpoint_error, "no tensor 'x'", merge_in_place(path, {{"x", {{fa.delta()}}}}));
  unchanged();
  auto endless = random_fa(48, 40, 5, 1);
  endless.parameters().back() = std::numeric_limits<float>::quiet_NaN();
  CHECK_ERROR(sbora::not_finite_error, "row 47",
              merge_in_place(path, {{"a.weight", {{fb.delta()}}}, {"b.weight", {{endless.delta()}}}}));
  unchanged();
  {
    const checkpoint open = checkpoint::open(path);
    CHECK_ERROR(sbora::file_error, "this program has it open, mapped", merge_in_place(path, three_changes()));
  }
  unchanged();
  int calls = 0;  // in the middle of writing
  CHECK_THROWS_AS(merge_in_place(path, three_changes(),
                                 [&](std::uint64_t, std::uint64_t) {
                                   if (++calls == 3) throw std::runtime_error("stop");
                                 }),
                  std::runtime_error);
  CHECK(calls == 3);
  unchanged();
  merge_in_place(path, {});
  unchanged();

  // No room for the originals.
  rlimit limit;
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &limit) == 0);
  rlimit small = limit;
  small.rlim_cur = 1000;
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
  const std::string message = message_of<sbora::file_error>([&] { merge_in_place(path, three_changes()); });
  ::setrlimit(RLIMIT_FSIZE, &limit);
  std::signal(SIGXFSZ, handler);
  CHECK_THAT(message, contains("model.safetensors.originals: File too large"));
  unchanged();
}

TEST_CASE("a file with several names isn't merged into: its originals would be beside one") {
  const temporary_directory directory;
  std::filesystem::create_directories(directory / "a");
  std::filesystem::create_directories(directory / "b");
  const auto path = directory / "a" / "model.safetensors", other = directory / "b" / "model.safetensors";
  const small_model old;
  old.write_single(path);
  const std::string before = read_file(path);
  std::filesystem::create_hard_link(path, other);
  for (const auto& name : {path, other}) {
    CHECK_ERROR(sbora::merge_error, "has 2 names (hard links)", merge_in_place(name, three_changes()));
    CHECK((read_file(name) == before));
    CHECK(files_in(name.parent_path()) == 1);
  }
  std::filesystem::remove(other);
  merge_in_place(path, three_changes());
  std::filesystem::create_hard_link(path, other);  // afterwards: nobody merges again, and what was merged goes back
  CHECK_ERROR(sbora::merge_error, "has 2 names", merge_in_place(other, three_changes()));
  sbora::unmerge_in_place(path);
  CHECK((read_file(other) == before));
}

TEST_CASE("with all deltas disabled nothing is merged, nothing kept, and the next merge goes on") {
  const temporary_directory directory;
  const auto path = directory / "model.safetensors";
  const small_model old;
  old.write_single(path);
  const std::string before = read_file(path);
  auto off = random_fa(48, 40, 5, 1);
  off.set_enabled(false);
  merge_in_place(path, {{"a.weight", {{off.delta()}}}, {"b.weight", {}}});
  CHECK((read_file(path) == before));
  CHECK(files_in(directory.path()) == 1);
  CHECK_FALSE(sbora::is_merged_in_place(path));
  merge_in_place(path, {{"a.weight", {{off.delta()}}}, {"b.weight", {{fb.delta()}}}});
  const auto kept = sbora::safetensors_file::open(path.string() + ".originals");
  CHECK(kept.tensors().size() == 2);
}

TEST_CASE("originals and merged copies can be read by whoever may read the file they are of") {
  const temporary_directory directory;
  const auto path = directory / "model.safetensors";
  const small_model old;
  old.write_single(path);
  const auto mode_of = [](const std::filesystem::path& file) {
    return static_cast<unsigned>(std::filesystem::status(file).permissions());
  };
  for (const unsigned mode : {0600U, 0640U, 0444U}) {
    std::filesystem::permissions(path, std::filesystem::perms{mode | 0200U});
    merge_in_place(path, three_changes());
    CHECK(mode_of(path.string() + ".originals") == (mode | 0600U));
    sbora::unmerge_in_place(path);
    std::filesystem::permissions(path, std::filesystem::perms{mode});
    const auto model = checkpoint::open(path);
    write_merged_checkpoint(model, three_changes(), directory / "copy.safetensors");
    write_merged_tensors(model, three_changes(), directory / "tensors.safetensors");
    for (const char* name : {"copy.safetensors", "tensors.safetensors"}) {
      CHECK(mode_of(directory / name) == (mode | 0600U));
      std::filesystem::remove(directory / name);
    }
  }
}

TEST_CASE("a file that somebody else is merging into is left alone") {
  const temporary_directory directory;
  const auto path = directory / "model.safetensors";
  const small_model old;
  old.write_single(path);
  const std::string before = read_file(path);
  const int other = ::open(path.c_str(), O_RDONLY);
  REQUIRE(::flock(other, LOCK_EX) == 0);  // as another process holds it
  CHECK_ERROR(sbora::file_error, "somebody else is merging into it", merge_in_place(path, three_changes()));
  CHECK((read_file(path) == before));
  CHECK(files_in(directory.path()) == 1);
  ::close(other);
  merge_in_place(path, three_changes());
  const int third = ::open(path.c_str(), O_RDONLY);
  CHECK(::flock(third, LOCK_EX | LOCK_NB) == 0);  // and lets go of it afterwards
  ::close(third);
}

TEST_CASE("originals of another file are refused before anything is written") {
  const temporary_directory directory;
  const auto path = directory / "model.safetensors";
  const small_model old;
  old.write_single(path);
  merge_in_place(path, three_changes());
  const std::string originals = read_file(directory / "model.safetensors.originals");
  const std::vector<float> other(48 * 40);
  const std::vector<sbora::tensor_view> tensors = {tensor_of("a.weight", other, {40, 48}),
                                                   tensor_of("b.weight", other, {48, 40})};
  write_safetensors(path, tensors);
  const std::string before = read_file(path);
  try {
    sbora::unmerge_in_place(path);
    FAIL("was restored");
  } catch (const sbora::checkpoint_error& error) {
    CHECK(error.problems() == std::vector<std::string>{"'a.weight.column_originals' doesn't fit 'a.weight'",
                                                       "'a.weight.row_originals' doesn't fit 'a.weight'",
                                                       "'b.weight.row_originals' isn't of a tensor of the file",
                                                       "'c.weight.row_originals' isn't of a tensor of the file"});
  }
  CHECK((read_file(path) == before));
  CHECK(read_file(directory / "model.safetensors.originals") == originals);
  write_safetensors(directory / "model.safetensors.originals", {});
  CHECK_ERROR(sbora::checkpoint_error, "these are no originals", sbora::unmerge_in_place(path));
}

TEST_CASE("originals of one shard that don't fit leave every shard merged") {
  const temporary_directory directory;
  const small_model old;
  old.write_shards(directory.path());
  const auto first = directory / "model-1.safetensors", second = directory / "model-2.safetensors";
  const std::string before = read_file(first);
  merge_in_place(directory.path(), three_changes());
  const std::string merged = read_file(first), originals = read_file(second.string() + ".originals");
  write_safetensors(second.string() + ".originals", {});
  CHECK_ERROR(sbora::checkpoint_error, "these are no originals", sbora::unmerge_in_place(directory.path()));
  CHECK((read_file(first) == merged));
  CHECK(std::filesystem::exists(first.string() + ".originals"));
  write_file(second.string() + ".originals", originals);
  sbora::unmerge_in_place(directory.path());
  CHECK((read_file(first) == before));
  CHECK_FALSE(sbora::is_merged_in_place(directory.path()));
}

TEST_CASE("originals lie beside the file itself, so that a second link to it is merged too") {
  const temporary_directory directory;
  const small_model old;
  old.write_single(directory / "blob");
  std::filesystem::create_symlink("blob", directory / "a.safetensors");
  std::filesystem::create_symlink("blob", directory / "b.safetensors");
  const std::string before = read_file(directory / "blob");
  merge_in_place(directory / "a.safetensors", three_changes());
  CHECK_ERROR(sbora::merge_error, "is merged in place already",
              merge_in_place(directory / "b.safetensors", three_changes()));
  sbora::unmerge_in_place(directory / "b.safetensors");
  CHECK((read_file(directory / "blob") == before));
}

TEST_CASE("killed while merging or restoring, unmerge makes the old file of it") {
  const temporary_directory directory;
  const auto path = directory / "model.safetensors";
  const small_model old;
  old.write_single(path);
  const std::string before = read_file(path);
  sbora::random_stream random(5);
  int torn = 0;
  for (int round = 0; round < 60; ++round) {
    const bool restoring = round % 3 == 2;
    if (restoring) merge_in_place(path, three_changes());
    int started[2];
    REQUIRE(::pipe(started) == 0);
    const int halt = static_cast<int>(random.below(4));  // 0: not stopped but met by the signal
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      const auto report = [&] {
        if (::write(started[1], "", 1) != 1) ::_exit(2);
      };
      try {
        int calls = 0;
        if (restoring || halt == 0) report();
        if (restoring) sbora::unmerge_in_place(path);
        merge_in_place(path, three_changes(), [&](std::uint64_t, std::uint64_t) {
          if (++calls != halt) return;
          report();
          for (;;) ::pause();
        });
      } catch (...) {
        ::_exit(3);
      }
      for (;;) ::pause();
    }
    char byte;
    REQUIRE(::read(started[0], &byte, 1) == 1);
    if (restoring || halt == 0) ::usleep(static_cast<useconds_t>(random.below(3000)));
    ::kill(child, SIGKILL);
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    REQUIRE(WIFSIGNALED(status));
    ::close(started[0]);
    ::close(started[1]);
    if (read_file(path) != before) ++torn;
    if (sbora::is_merged_in_place(path)) {
      sbora::unmerge_in_place(path);
    }
    REQUIRE((read_file(path) == before));
  }
  CHECK(torn > 0);
}

TEST_CASE("only touched pages are written: a sparse file stays sparse") {
  const temporary_directory directory;
  const auto path = directory / "model.safetensors";
  std::vector<sbora::tensor_view> layout;
  for (int i = 0; i < 128; ++i) layout.push_back({"w" + std::to_string(i), sbora::dtype::bf16, {2048, 2048}, {}});
  const std::string header = sbora::safetensors_header(layout);
  write_file(path, header);
  std::filesystem::resize_file(path, header.size() + (std::uintmax_t{1} << 30));
  const auto used = [&] {
    struct stat status;
    REQUIRE(::stat(path.c_str(), &status) == 0);
    return static_cast<std::uint64_t>(status.st_blocks) * 512;
  };
  const auto empty = used();
  const auto rows = random_fb(2048, 2048, 4, 1);
  merge_in_place(path, {{"w7", {{rows.delta()}}}});
  // Four rows of 4 KiB, each over two pages at most, and what the file system needs to say where they are.
  constexpr std::uint64_t four_rows = 8 * 4096, administration = 64 << 10;
  CHECK(used() - empty <= four_rows + administration);
  CHECK(used() > empty);
  sbora::unmerge_in_place(path);
  const auto columns = random_fa(2048, 2048, 4, 1);
  merge_in_place(path, {{"w9", {{columns.delta()}}}});
  CHECK(used() - empty <= four_rows + (8 << 20) + administration);
}

namespace {

using Eigen::bfloat16;

/// A fused projection, its transpose, and stacks of both orders.
struct fused_model {
  std::vector<float> fused = random_vector<float>(30 * 40, 1);
  std::vector<bfloat16> conv1d = random_vector<bfloat16>(40 * 30, 2);
  std::vector<Eigen::half> stack = random_vector<Eigen::half>(4 * 12 * 10, 3);
  std::vector<float> turned = random_vector<float>(4 * 10 * 12, 4);
  sbora::fa_adapter<float> q = random_fa(12, 40, 5, 5), v = random_fa(8, 40, 3, 6), expert = random_fa(12, 10, 3, 7);
  sbora::fb_adapter<float> k = random_fb(10, 40, 2, 8), other = random_fb(12, 10, 4, 9), half = random_fb(6, 10, 2, 10);

  std::vector<sbora::tensor_view> tensors() const {
    return {tensor_of("fused", fused, {30, 40}), tensor_of("conv1d", conv1d, {40, 30}),
            tensor_of("stack", stack, {4, 12, 10}), tensor_of("turned", turned, {4, 10, 12})};
  }

  weight_changes changes() const {
    const sbora::weight_part all_of_q = {{0, 12}, {0, 40}}, all_of_k = {{12, 22}, {0, 40}},
                             all_of_v = {{22, 30}, {0, 40}};
    const std::vector<sbora::part_change> qkv = {
        {{q.delta()}, 0, all_of_q}, {{k.delta()}, 0, all_of_k}, {{v.delta()}, 0, all_of_v}};
    const std::vector<sbora::part_change> experts = {
        {{expert.delta()}, 1}, {{other.delta()}, 3}, {{half.delta()}, 0, sbora::weight_part{{6, 12}, {0, 10}}}};
    return {{"fused", {{}, storage::out_by_in, qkv}},
            {"conv1d", {{}, storage::in_by_out, qkv}},
            {"stack", {{}, storage::out_by_in, experts}},
            {"turned", {{}, storage::in_by_out, experts}}};
  }

  /// By mergers of views of the parts.
  void merge() {
    const auto merge_parts = [&](auto w, const auto& qkv) {
      qkv(rows_of(w, {0, 12}), q), qkv(rows_of(w, {12, 22}), k), qkv(rows_of(w, {22, 30}), v);
    };
    const auto merge_one = [](auto w, const auto& adapter) { sbora::merger(w).merge(adapter); };
    merge_parts(sbora::weight_view(fused.data(), 30, 40), merge_one);
    merge_parts(sbora::weight_view(conv1d.data(), 30, 40, 0, storage::in_by_out), merge_one);
    const auto merge_experts = [&](auto* data, storage order) {
      const auto slice = [&](index_t i) { return sbora::weight_view(data + i * 120, 12, 10, 0, order); };
      merge_one(slice(1), expert), merge_one(slice(3), other), merge_one(rows_of(slice(0), {6, 12}), half);
    };
    merge_experts(stack.data(), storage::out_by_in);
    merge_experts(turned.data(), storage::in_by_out);
  }
};

}  // namespace

TEST_CASE("parts of tensors and weights of stacks, merged into files as in memory, and restored") {
  const temporary_directory directory;
  const auto path = directory / "model.safetensors";
  fused_model model;
  write_safetensors(path, model.tensors());
  const std::string before = read_file(path);
  const weight_changes changes = model.changes();
  sbora::thread_pool pool(2);
  write_merged_checkpoint(checkpoint::open(path), changes, directory / "copy");
  write_merged_tensors(checkpoint::open(path), changes, directory / "tensors", {}, {}, pool);
  model.merge();
  {
    const checkpoint copy = checkpoint::open(directory / "copy"), tensors = checkpoint::open(directory / "tensors");
    for (const sbora::tensor_view& expected : model.tensors()) {
      CAPTURE(expected.name);
      CHECK(bytes_of_tensor(copy.at(expected.name)) == bytes_of_tensor(expected));
      CHECK(bytes_of_tensor(tensors.at(expected.name)) == bytes_of_tensor(expected));
    }
  }
  merge_in_place(path, changes);
  CHECK((read_file(path) == read_file(directory / "copy")));
  {
    // What is kept is the parts' alone.
    const auto kept = sbora::safetensors_file::open(path.string() + ".originals");
    CHECK(kept.at("fused@0:12.column_originals").shape == std::vector<index_t>{12, 5});
    CHECK(kept.at("fused.row_originals").shape == std::vector<index_t>{2, 40});
    CHECK(kept.at("conv1d.column_originals").shape == std::vector<index_t>{40, 2});
    CHECK(kept.at("stack@12:24.column_originals").shape == std::vector<index_t>{12, 3});
  }
  sbora::unmerge_in_place(path);
  CHECK((read_file(path) == before));
}

TEST_CASE("originals whose rows aren't the tensor's are refused") {
  const temporary_directory directory;
  const auto path = directory / "model.safetensors";
  const fused_model model;
  write_safetensors(path, model.tensors());
  const std::string before = read_file(path);
  const std::vector<index_t> column = {3};
  const std::vector<float> values(12);
  for (const char* const range :
       {"fused@0:31", "fused@-1:11", "fused@12:0", "fused@19:30", "fused@0:", "fused@0:12x", "x@0:12"}) {
    CAPTURE(range);
    write_safetensors(path.string() + ".originals",
                      std::vector{tensor_of(std::string(range) + ".columns", column, {1}),
                                  tensor_of(std::string(range) + ".column_originals", values, {12, 1})},
                      {{"format", "sbora originals"}});
    CHECK_ERROR(sbora::checkpoint_error, range, sbora::unmerge_in_place(path));
    CHECK((read_file(path) == before));
  }
}

TEST_CASE("a tensor that is called as a part's originals isn't taken for them") {
  const temporary_directory directory;
  const auto path = directory / "model.safetensors";
  const fused_model model;
  std::vector<sbora::tensor_view> tensors = model.tensors();
  tensors.push_back(tensor_of("fused@0:12", model.fused, {30, 40}));
  write_safetensors(path, tensors);
  const std::string before = read_file(path);
  CHECK_ERROR(sbora::merge_error, "has a tensor 'fused@0:12'", merge_in_place(path, model.changes()));
  CHECK((read_file(path) == before));
  CHECK(files_in(directory.path()) == 1);
}

TEST_CASE("parts that a tensor hasn't change nothing") {
  const temporary_directory directory;
  const auto path = directory / "model.safetensors";
  fused_model model;
  write_safetensors(path, model.tensors());
  const std::string before = read_file(path);
  const auto refused = [&](const char* name, sbora::part_change change, const char* text) {
    CHECK_ERROR(sbora::checkpoint_error, text, merge_in_place(path, {{name, {{}, storage::out_by_in, {change}}}}));
    CHECK((read_file(path) == before));
    CHECK(files_in(directory.path()) == 1);
  };
  using part = sbora::weight_part;
  refused("stack", {{model.expert.delta()}, 4}, "[4, 12, 10] and no weight number 4");
  refused("stack", {{model.expert.delta()}, -1}, "no weight number -1");
  refused("fused", {{model.q.delta()}, 1, part{{0, 12}, {0, 40}}}, "no weight number 1");
  refused("fused", {{model.q.delta()}, 0, part{{20, 32}, {0, 40}}}, "no rows 20 to 32");
  refused("fused", {{model.q.delta()}, 0, part{{0, 13}, {0, 40}}},
          "a part of shape [13, 40], the adapter is for [12, 40]");
  refused("stack", {{model.q.delta()}, 0}, "a part of shape [12, 10], the adapter is for [12, 40]");
  CHECK_ERROR(sbora::checkpoint_error, "has shape [4, 12, 10], the adapter is for [12, 10]",
              merge_in_place(path, {{"stack", {{model.expert.delta()}}}}));
  model.expert.parameters().back() = std::numeric_limits<float>::infinity();
  CHECK_ERROR(sbora::not_finite_error,
              "row 11, column " + std::to_string(model.expert.target().indices()[2]) + " of 'stack'[2]",
              merge_in_place(path, {{"stack", {{}, storage::out_by_in, {{{model.expert.delta()}, 2}}}}}));
  CHECK((read_file(path) == before));
  CHECK(files_in(directory.path()) == 1);
}
