// The ledger in its file: whole whatever happens, and never with an index twice.

#include <sbora/io/ledger/ledger_file.hpp>

#include <csignal>

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/temporary_directory.hpp"
#include "support/message.hpp"
#include "support/sanitizers.hpp"

using namespace sbora_tests;
using sbora::adapter_kind;
using sbora::index_t;
using sbora::region;
using sbora::region_ledger;

namespace {

const std::vector<sbora::model_module> modules = {{"model.q", 2000, 4000}, {"model.\"v\"", 6, 12}};
constexpr auto fa = adapter_kind::fa, fb = adapter_kind::fb;

region_ledger example() {
  region_ledger ledger(modules, 0x0123456789abcdef, false);
  ledger.claim("math", {{"model.q", fa, region(4000, {3, 1, 3999})}, {"model.\"v\"", fb, region(6, {5})}});
  ledger.claim("law", {{"model.q", fa, region(4000, {0})}});
  ledger.set_adapter("law", "adapters/law");
  return ledger;
}

void claim_one(const std::filesystem::path& path, const std::string& task) {
  sbora::change_ledger(path, [&](region_ledger& ledger) {
    const sbora::region_request request = {"model.q", fa, 1};
    ledger.claim(task, std::span(&request, 1), sbora::uniform_among_free(7));
  });
}

/// f in a process of its own.
template <class Function>
pid_t start(Function&& f) {
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    int code = 0;
    try {
      f();
    } catch (...) {
      code = 1;
    }
    ::_exit(code);
  }
  return child;
}

struct stat status_of(const std::filesystem::path& path) {
  struct stat status;
  REQUIRE(::stat(path.c_str(), &status) == 0);
  return status;
}

int code_of(pid_t child) {
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

std::vector<std::string> problems_in(const std::string& text) {
  try {
    sbora::parse_ledger(text);
  } catch (const sbora::checkpoint_error& error) {
    return error.problems();
  }
  return {"nothing was thrown"};
}

}  // namespace

TEST_CASE("a ledger's text reads back as the same, and is for people too") {
  const region_ledger ledger = example();
  const std::string text = ledger_text(ledger);
  CHECK(sbora::parse_ledger(text) == ledger);
  CHECK(text.find("      {\"module\":\"model.q\",\"kind\":\"sbora_fa\",\"indices\":[3,1,3999]}") != std::string::npos);
  CHECK(text.find("\"base\": \"0123456789abcdef\"") != std::string::npos);
  const region_ledger empty(modules, 1, true);
  CHECK(sbora::parse_ledger(ledger_text(empty)) == empty);
  CHECK_ERROR(sbora::config_error, "longer than 1024 bytes",
              ledger_text(region_ledger({{std::string(1025, 'a'), 1, 1}}, 1)));
  CHECK_ERROR(sbora::config_error, "UTF-8", ledger_text(region_ledger({{"\xff", 1, 1}}, 1)));
  CHECK_ERROR(sbora::config_error, "too large", ledger_text(region_ledger({{"a", index_t{1} << 25, 1}}, 1)));
}

TEST_CASE("all that is wrong with a ledger's text is said at once") {
  CHECK(problems_in(R"({"sbora_ledger": 2, "base": "12", "crossing": 1, "more": 0,
                        "modules": [{"name": "q", "d_out": 4, "d_in": 0}, {"d_out": 99999999, "d_in": 4, "x": 1}, 5],
                        "tasks": [{"name": "t", "version": -1, "regions": [
                          {"module": "q", "kind": "fa", "indices": [1]}, {"module": "k", "kind": "sbora_fa"}]},
                          {"name": 7}]})") ==
        std::vector<std::string>{
            "sbora_ledger: expected 1, got 2", "base: expected 16 hexadecimal digits, got \"12\"",
            "crossing: expected true or false, got 1", "modules[0].d_in: expected an integer of 1 or more, got 0",
            "modules[1].name: a name is needed", "modules[1].d_out: 99999999 is above 16777216",
            "modules[1].x: unknown", "modules[2]: expected an object, got 5",
            "tasks[0].version: expected an integer of 0 or more, got -1",
            "tasks[0].regions[0].kind: expected sbora_fa or sbora_fb, got \"fa\"",
            "tasks[0].regions[1].indices: it isn't there", "tasks[0].regions[1].module: 'k' is none of the ledger's",
            "tasks[1].name: expected a string, got 7", "tasks[1].name: a name is needed",
            "tasks[1].regions: it isn't there", "more: unknown"});
  CHECK(problems_in("{}") == std::vector<std::string>{"sbora_ledger: it isn't there", "base: it isn't there",
                                                      "modules: it isn't there", "tasks: it isn't there"});
  const std::string start = R"({"sbora_ledger": 1, "base": "0000000000000001",
      "modules": [{"name": "q", "d_out": 4, "d_in": 4}], "tasks": [)";
  const auto task = [](const std::string& name, const std::string& kind, const std::string& indices) {
    return "{\"name\": \"" + name + R"(", "regions": [{"module": "q", "kind": ")" + kind + R"(", "indices": )" +
           indices + "}]}";
  };
  CHECK(problems_in(start + task("a", "sbora_fa", "[4]") + ", " + task("b", "sbora_fa", "[1, 1]") + ", " +
                    task("c", "sbora_fa", "[-1]") + ", " + task("d", "sbora_fa", "3") + "]}") ==
        std::vector<std::string>{"tasks[0].regions[0].indices: sbora::region: index 4 at position 0 is outside [0, 4)",
                                 "tasks[1].regions[0].indices: sbora::region: index 1 comes twice, again at position 1",
                                 "tasks[2].regions[0].indices: expected columns or rows, got -1",
                                 "tasks[3].regions[0].indices: expected a list, got 3"});
  CHECK(problems_in(start + task("a", "sbora_fa", "[0, 1]") + ", " + task("b", "sbora_fa", "[1, 2]") + ", " +
                    task("c", "sbora_fb", "[1]") + "]}") ==
        std::vector<std::string>{"module 'q': tasks 'a' and 'b' both own columns 1",
                                 "module 'q': tasks 'a' and 'c' own columns and rows, which cross"});
  CHECK_THROWS_AS(sbora::parse_ledger("[]"), sbora::format_error);
  CHECK_THROWS_AS(sbora::parse_ledger("{"), sbora::format_error);
}

TEST_CASE("a ledger's file is made once, changed as a whole, and not changed for nothing") {
  const temporary_directory folder;
  const auto path = folder.path() / "ledger.json";
  create_ledger(path, example());
  CHECK(sbora::load_ledger(path) == example());
  CHECK_ERROR(sbora::file_error, "there is one already", create_ledger(path, example()));
  const auto changed = sbora::change_ledger(path, [](region_ledger& of) { of.release("law"); });
  CHECK_FALSE(changed.has("law"));
  CHECK(sbora::load_ledger(path) == changed);
  const auto time = std::filesystem::last_write_time(path);
  CHECK_THROWS_AS(sbora::change_ledger(path, [](region_ledger& of) { of.release("nobody"); }), sbora::config_error);
  sbora::change_ledger(path, [](region_ledger&) {});
  CHECK(std::filesystem::last_write_time(path) == time);
  CHECK(sbora::load_ledger(path) == changed);
  const auto link = folder.path() / "link.json";
  std::filesystem::create_symlink("ledger.json", link);
  claim_one(link, "by a link");
  CHECK(std::filesystem::is_symlink(link));
  CHECK(sbora::load_ledger(path).has("by a link"));
  CHECK_THROWS_AS(sbora::load_ledger(folder.path() / "none.json"), sbora::file_error);
  CHECK_THROWS_AS(sbora::change_ledger(folder.path() / "none.json", [](region_ledger&) {}), sbora::file_error);
}

TEST_CASE("two processes that claim 1,000 times each get no index twice") {
  const temporary_directory folder;
  const auto path = folder.path() / "ledger.json";
  create_ledger(path, region_ledger(modules, 1));
  constexpr std::size_t claims = under_asan ? 50 : 1000;  // each reads all that were before
  const auto claim_all = [&](const std::string& who) {
    return start([&] {
      for (std::size_t i = 0; i < claims; ++i) claim_one(path, who + std::to_string(i));
    });
  };
  const pid_t one = claim_all("a"), two = claim_all("b");
  CHECK(code_of(one) == 0);
  CHECK(code_of(two) == 0);
  const region_ledger ledger = sbora::load_ledger(path);
  CHECK(ledger.tasks().size() == 2 * claims);
  std::vector<bool> owned(4000);
  for (const auto& task : ledger.tasks()) {
    const auto index = static_cast<std::size_t>(ledger.target(task.name, "model.q").indices()[0]);
    CHECK_FALSE(owned[index]);
    owned[index] = true;
  }
}

TEST_CASE("of two processes that make a ledger one does") {
  const temporary_directory folder;
  for (int i = 0; i < 20; ++i) {
    const auto path = folder.path() / ("ledger" + std::to_string(i));
    const pid_t one = start([&] { create_ledger(path, region_ledger(modules, 1)); });
    const pid_t two = start([&] { create_ledger(path, region_ledger(modules, 2)); });
    CHECK(code_of(one) + code_of(two) == 1);
    const region_ledger made = sbora::load_ledger(path);
    CHECK(made.tasks().empty());
  }
}

TEST_CASE("a ledger is whole after kill -9 at any point, and free for others") {
  const temporary_directory folder;
  const auto path = folder.path() / "ledger.json";
  create_ledger(path, region_ledger(modules, 1));
  sbora::random_stream random(1);
  std::size_t tasks = 0;
  for (int kill_number = 0; kill_number < 60; ++kill_number) {
    const struct stat before = status_of(path);
    const pid_t child = start([&] {
      for (int i = 0;; ++i) {
        const std::string task = std::to_string(kill_number) + "." + std::to_string(i);
        claim_one(path, task);
        if (i % 2 == 1) sbora::change_ledger(path, [&](region_ledger& of) { of.release(task); });
      }
    });
    const bool changed = kill_number % 2 == 1;  // at least once, however slow this machine is
    while (changed && status_of(path).st_ino == before.st_ino) ::usleep(100);
    ::usleep(static_cast<useconds_t>(random.below(20000)));
    ::kill(child, SIGKILL);
    CHECK(code_of(child) == -1);
    const region_ledger left = sbora::load_ledger(path);  // whole, and no index twice
    CHECK(left.tasks().size() >= tasks + (changed ? 1 : 0));
    claim_one(path, "after " + std::to_string(kill_number));
    const region_ledger after = sbora::load_ledger(path);
    tasks = after.tasks().size();
    CHECK(tasks == left.tasks().size() + 1);
  }
}
