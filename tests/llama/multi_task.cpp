#include "support/catch.hpp"

#include <algorithm>
#include <array>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "llama_support.hpp"
#include "multi_task/llama_subject.hpp"
#include "multi_task/llama_texts.hpp"
#include "multi_task/merged_weights.hpp"
#include "multi_task/questions.hpp"
#include "multi_task/tables.hpp"
#include "text/byte_tokenizer.hpp"
#include "tiny_model.hpp"

using llama::index_t;
using llama_test::mentions;
using llama_test::refusal;
using llama_test::scratch_directory;
using multi_task::adapter;
using multi_task::results;

namespace {

/// Data of four tasks and a base text, for a model of two layers.
class setting {
 public:
  setting() {
    for (const multi_task::paper_task& task : multi_task::paper_tasks) {
      std::filesystem::create_directories((folder_.path() / task.training).parent_path());
      write_rows(task.training, std::string("what of ") + task.name, 8);
      write_rows(task.test, std::string("what of ") + task.name, 3);
    }
    std::string text;
    while (text.size() < 1100) text += "nothing of this is to be forgotten. ";
    folder_.write("DATA_LICENSE", text);
  }

  multi_task::options options(const std::string& results) const {
    multi_task::options set;
    set.base_model = "tiny";
    set.data_path = folder_.path().string();
    set.results = results.empty() ? "" : (folder_.path() / results).string();
    set.rank = 3;
    set.steps = 2;
    set.train_rows = 4;
    set.batch_size = 2;
    set.test_rows = 2;
    set.text_tokens = 256;
    return set;
  }
  std::unique_ptr<multi_task::subject> subject(const multi_task::options& set) const {
    return make_llama_subject(set, base_, std::make_shared<llama::byte_tokenizer>());
  }
  /// Runs all questions of seed 1, and gives the file.
  std::string run(const multi_task::options& set) const {
    const auto of = subject(set);
    results answers(set.results, of->settings());
    ask_all(*of, answers, 1);
    return read(set.results);
  }
  static std::string read(const std::string& file) {
    std::ostringstream text;
    text << std::ifstream(file, std::ios::binary).rdbuf();
    return text.str();
  }

 private:
  void write_rows(const char* file, const std::string& question, int count) const {
    std::string text = "[";
    for (int i = 0; i < count; ++i) {
      text += (i ? "," : "") + std::string(R"({"instruction": ")") + question + " " + std::to_string(i) +
              R"(?", "input": "", "output": "it is )" + std::to_string(i % 3) + R"(", "answer": "x"})";
    }
    folder_.write(file, text + "]");
  }
  static llama::model_config config() {
    llama::model_config config = llama::test::tiny_config();
    config.vocab_size = llama::byte_tokenizer::vocabulary;
    config.max_position_embeddings = 512;
    config.num_hidden_layers = 2;
    return config;
  }

  scratch_directory folder_;
  llama::model base_ = llama::test::loud_model(config(), 5);
};

/// Hands on to another subject, and is stopped before it has measured so many times.
class stopping final : public multi_task::subject {
 public:
  stopping(multi_task::subject& of, int measures) : of_(of), left_(measures) {}

  const std::vector<std::string>& tasks() const override { return of_.tasks(); }
  index_t rank() const override { return of_.rank(); }
  std::string settings() const override { return of_.settings(); }
  sbora::thread_pool& pool() override { return of_.pool(); }
  void start(std::uint64_t seed) override { of_.start(seed); }
  void finish() override { of_.finish(); }
  std::vector<multi_task::layer> layers() override { return of_.layers(); }
  adapter train(const multi_task::training& what) override { return of_.train(what); }
  multi_task::score measure(std::size_t text) override {
    if (left_-- == 0) throw multi_task::stopped();
    return of_.measure(text);
  }
  std::vector<multi_task::column_scores> observe(std::size_t text) override { return of_.observe(text); }

 private:
  multi_task::subject& of_;
  int left_;
};

}  // namespace

TEST_CASE("multi_task: a run that is stopped anywhere goes on to the same file, with any number of threads") {
  const setting with;
  multi_task::options set = with.options("whole.csv");
  const std::string whole = with.run(set);
  REQUIRE(mentions(whole, "done"));
  CHECK(!std::filesystem::exists(set.results + ".adapters/seed1"));

  set = with.options("stopped.csv");
  set.threads = 1;
  const auto of = with.subject(set);
  for (const int measures : {0, 3, 17, 40}) {
    INFO(measures);
    results answers(set.results, of->settings());
    stopping stops(*of, measures);
    CHECK_THROWS_AS(ask_all(stops, answers, 1), multi_task::stopped);
    CHECK(with.read(set.results).size() < whole.size());
  }
  CHECK(with.run(set) == whole);
  CHECK(with.run(set) == whole);  // nothing is left to do

  set = with.options("cut.csv");
  for (const std::size_t bytes : {whole.size() - 3, whole.size() / 2}) {  // within a line, and the adapters are gone
    INFO(bytes);
    std::ofstream(set.results, std::ios::binary) << whole.substr(0, bytes);
    CHECK(with.run(set) == whole);
  }
}

TEST_CASE("multi_task: tasks on regions of their own disturb no element, and leave none when they are taken out") {
  const setting with;
  const multi_task::options set = with.options("results.csv");
  with.run(set);
  const results found = results::read(set.results);
  const auto elements = [&](const std::string& row) {
    for (const multi_task::result& one : found.all()) {
      if (one.question == multi_task::interference_question && one.row == row) return one.value;
    }
    return -1.0;
  };
  const index_t of_layer = 36 * 24 + 12 * 24 + 42 * 24 + 24 * 42;  // q, v, up, down
  CHECK(elements("all elements of the layers") == static_cast<double>(2 * of_layer));
  for (const std::string kind : {"FA", "FB"}) {
    CHECK(elements(kind + ": changed by another task") == 0);
    CHECK(elements(kind + ": changed once all are taken out") == 0);
    CHECK(elements(kind + " in sequence: changed once the last is taken out") == 0);
  }
  CHECK(elements("FA overlapping: changed by several tasks") > 0);

  const std::string tables = tables_of(found);
  CHECK(mentions(tables, "| FB after ARC-Easy |"));
  CHECK(mentions(tables, "1 of 1 seeds done"));
}

TEST_CASE("multi_task: adapters merged in all orders give equal bytes, and overlapping ones are told of") {
  const setting with;
  const auto of = with.subject(with.options(""));
  of->start(1);
  const std::vector<multi_task::layer> layers = of->layers();
  std::vector<multi_task::regions> on(4);
  for (const multi_task::layer& each : layers) {
    const auto apart = sbora::partition_regions(each.weight.d_in(), {3, 3, 3, 3}, 1);
    for (std::size_t task = 0; task < on.size(); ++task) on[task].push_back(apart[task]);
  }
  std::vector<adapter> trained;
  for (std::size_t task = 0; task < on.size(); ++task) {
    trained.push_back(of->train({std::to_string(task), multi_task::method::fa, task, on[task]}));
    CHECK(std::ranges::any_of(trained.back().parameters(), [](float value) { return value != 0; }));
  }
  multi_task::merged_weights weights(layers, of->pool());
  const auto base = weights.copy();
  std::array<std::size_t, 4> order = {0, 1, 2, 3};
  std::vector<multi_task::merged_weights::matrix> first;
  do {
    std::vector<const adapter*> merged;
    for (const std::size_t task : order) merged.push_back(&trained[task]);
    weights.with(merged, [&] {
      if (first.empty()) first = weights.copy();
      CHECK(weights.different(first) == 0);
      CHECK(weights.different(base) > 0);
    });
    CHECK(weights.different(base) == 0);
  } while (std::ranges::next_permutation(order).found);

  const std::vector<const adapter*> apart = {&trained[0], &trained[1]}, same = {&trained[0], &trained[0]};
  CHECK(multi_task::shared_elements(layers, apart) == 0);
  CHECK(multi_task::shared_elements(layers, same) == 2 * 3 * (36 + 12 + 42 + 24));
}

TEST_CASE("multi_task: results of other settings, other files and missing data are refused") {
  const setting with;
  const multi_task::options set = with.options("results.csv");
  results(set.results, "these").add({{1, "alone", "row", "column", "loss", 0.5}});
  CHECK(mentions(refusal([&] { results(set.results, "those"); }), "results of other settings, \"these\""));
  CHECK(results(set.results, "these").has(1, "alone", "row", "column"));
  std::ofstream(set.results, std::ios::app) << "1,alone,row\n";
  CHECK(mentions(refusal([&] { results(set.results, "these"); }), "line 4: \"1,alone,row\" isn't a result"));
  CHECK(mentions(refusal([&] { results::read(set.data_path + "/DATA_LICENSE"); }), "isn't a file of results"));
  CHECK(mentions(refusal([&] { results::read(set.data_path + "/none"); }), "none: no such file"));

  multi_task::options other = with.options("");
  other.train_rows = 9;
  CHECK(mentions(refusal([&] { with.subject(other); }), "--train_rows: arithmetic/train.json has 8 rows"));
  other = with.options("");
  other.base_text = other.data_path + "/none";
  CHECK(mentions(refusal([&] { with.subject(other); }), "none: no such file; --base_text"));
  other.base_text = other.data_path + "/arithmetic/train.json";
  CHECK(with.subject(other)->settings() == with.subject(set)->settings() + " of train.json");
  other.data_path = "/nowhere";
  CHECK(mentions(refusal([&] { with.subject(other); }), "/nowhere/arithmetic/train.json: no such file; --data_path"));
}
