// What a training run leaves behind besides the adapter: metrics and plots; and how it counts its steps.
#include "support/catch.hpp"
#include "support/message.hpp"

#include <cmath>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <fmt/core.h>
#include <nlohmann/json.hpp>
#include <sbora/io/errors.hpp>

#include "data/batch_source.hpp"
#include "training/metrics.hpp"
#include "program/plot.hpp"
#include "common/json_file.hpp"
#include "common/progress.hpp"
#include "training/step_plan.hpp"
#include "training/stop_signal.hpp"

namespace {

struct scratch_file {
  explicit scratch_file(const char* name) : path(std::filesystem::temp_directory_path() / name) {
    std::filesystem::remove(path);
  }
  ~scratch_file() { std::filesystem::remove(path); }
  std::filesystem::path path;
};

int occurrences(const std::string& text, const std::string& word) {
  int count = 0;
  for (std::size_t at = text.find(word); at != text.npos; at = text.find(word, at + 1)) ++count;
  return count;
}

}  // namespace

TEST_CASE("metrics: a resumed run leaves the lines of an undisturbed one") {
  const scratch_file file("sbora_llama_metrics_test.jsonl");
  {
    llama::metrics_file metrics(file.path, 0);
    for (int step = 1; step <= 5; ++step) metrics.write({{"step", step}, {"loss", 1.0 / step}});
  }
  std::ofstream(file.path, std::ios::app) << "{\"step\":6,\"lo";  // killed while it wrote
  {
    llama::metrics_file metrics(file.path, 3);
    metrics.write({{"step", 4}, {"loss", 0.5}, {"eval_loss", 2}});
  }
  const llama::curve loss = llama::read_curve(file.path, "loss");
  CHECK(loss.steps == std::vector<double>{1, 2, 3, 4});
  CHECK(loss.values == std::vector<double>{1, 0.5, 1.0 / 3, 0.5});
  CHECK(llama::read_curve(file.path, "eval_loss").steps == std::vector<double>{4});
  { llama::metrics_file anew(file.path, 0); }
  CHECK(std::filesystem::file_size(file.path) == 0);
  CHECK_THROWS_AS(llama::metrics_file("/nowhere/metrics.jsonl", 0), sbora::file_error);
}

namespace {

constexpr const char* mark = "<use xlink:href='#gpPt6' transform";
constexpr const char* first_colour = "<path stroke='rgb(  0, 114, 178)'  d='M";

/// The SVG of a plot. gnuplot groups what it draws for each part of `plot`.
std::string svg_of(const char* title, const std::vector<llama::plot_line>& lines) {
  const scratch_file svg("sbora_llama_plot_test.svg"), script("sbora_llama_plot_test.gnuplot");
  const std::string problem = llama::write_plot(svg.path, title, "step", "loss", lines);
  CAPTURE(problem);
  REQUIRE(problem.empty());
  return llama::read_file(svg.path);
}

}  // namespace

TEST_CASE("plot: every line is drawn, numbers that aren't finite are left out") {
  const std::string svg = svg_of("a < b & c isn't d", {{.name = "one", .x = {1, 2, 3}, .y = {3, NAN, 1}},
                                                       {.name = "two", .x = {1, 2}, .y = {1, 2}, .marks = true}});
  CHECK(occurrences(svg, "id=\"gnuplot_plot_") == 2);
  CHECK(occurrences(svg, first_colour) >= 1);
  CHECK(occurrences(svg, mark) == 3);  // two points and the legend's
  CHECK(occurrences(svg, "nan") + occurrences(svg, "NaN") == 0);
  CHECK(occurrences(svg, "a &lt; b &amp; c isn't d") == 1);
  CHECK(occurrences(svg, ">one</text>") == 1);
  CHECK(occurrences(svg_of("empty", {}), first_colour) == 0);
  const std::string flat = svg_of("flat", {{.name = "", .x = {5}, .y = {2}}});
  CHECK(occurrences(flat, mark) == 1);
  CHECK(occurrences(flat, "nan") + occurrences(flat, "inf") == 0);
  std::vector<double> many(100);
  for (std::size_t i = 0; i < many.size(); ++i) many[i] = static_cast<double>(i);
  CHECK(occurrences(svg_of("smooth", {{.name = "s", .x = many, .y = many, .smooth = true}}), "id=\"gnuplot_plot_") ==
        2);
}

TEST_CASE("plot: without gnuplot a run goes on and says how to draw it later") {
  const scratch_file svg("sbora_llama_no_plot_test.svg"), script("sbora_llama_no_plot_test.gnuplot");
  const std::string path = std::getenv("PATH");
  setenv("PATH", "/nowhere", 1);
  const std::string problem = llama::write_plot(svg.path, "t", "x", "y", {{.name = "one", .x = {1, 2}, .y = {2, 1}}});
  setenv("PATH", path.c_str(), 1);
  CHECK_THAT(problem, sbora_tests::contains("gnuplot isn't installed"));
  CHECK_THAT(problem, sbora_tests::contains("gnuplot " + script.path.string() + " draws it"));
  CHECK(!std::filesystem::exists(svg.path));
  CHECK(std::system(("gnuplot '" + script.path.string() + "'").c_str()) == 0);
  CHECK(std::filesystem::exists(svg.path));
}

TEST_CASE("step_plan: an epoch's last step takes what is left") {
  const llama::step_plan plan{.micro_batches = 7, .accumulation = 3, .epochs = 3, .max_steps = 0};
  CHECK(plan.steps_an_epoch() == 3);
  CHECK(plan.total_steps() == 9);
  std::vector<llama::index_t> firsts;
  for (llama::index_t step = 0; step <= 6; ++step) firsts.push_back(plan.first_micro_batch(step));
  CHECK(firsts == std::vector<llama::index_t>{0, 3, 6, 7, 10, 13, 14});
  CHECK(plan.epoch_of(6) == 0);
  CHECK(plan.epoch_of(7) == 1);
  CHECK(plan.index_of(8) == 1);

  const llama::step_plan small{.micro_batches = 2, .accumulation = 8, .epochs = 5, .max_steps = 0};
  CHECK(small.total_steps() == 5);
  CHECK(small.first_micro_batch(1) == 2);
  CHECK(small.epoch_of(small.first_micro_batch(4)) == 4);

  const llama::step_plan counted{.micro_batches = 2, .accumulation = 2, .epochs = 5, .max_steps = 17};
  CHECK(counted.total_steps() == 17);
}

TEST_CASE("linear_schedule: warm-up from zero, decay to zero; or warm-up alone") {
  const auto schedule = llama::linear_schedule(1.0, 2, 6);
  CHECK(schedule.at(0) == 0);
  CHECK(schedule.at(1) == 0.5);
  CHECK(schedule.at(2) == 1);
  CHECK(schedule.at(4) == 0.5);
  CHECK(schedule.at(6) == 0);
  const auto only_warmup = llama::linear_schedule(1.0, 100, 10);
  CHECK(only_warmup.at(9) == Approx(0.09));
}

TEST_CASE("real_tokens: those that aren't padding") {
  const llama::token_batch batch{.sequences = 2,
                                 .length = 3,
                                 .tokens = {7, 8, 9, 0, 5, 6},
                                 .labels = {7, 8, -100, -100, 5, 6},
                                 .mask = {1, 1, 1, 0, 1, 1}};
  CHECK(llama::real_tokens(batch) == 5);
}

TEST_CASE("stop_signal: the first signal is noted, and handlers are put back") {
  {
    const llama::stop_signal watched;
    CHECK(llama::stop_signal::caught() == 0);
    std::raise(SIGTERM);
    CHECK(llama::stop_signal::caught() == SIGTERM);
  }
  const llama::stop_signal again;
  CHECK(llama::stop_signal::caught() == 0);
}

TEST_CASE("texts of numbers and durations") {
  CHECK(fmt::format("{}", 64.0) == "64");
  CHECK(fmt::format("{}", 3e-4) == "0.0003");
  CHECK(fmt::format("{}", 0.1) == "0.1");
  CHECK(llama::duration_text(42.3) == "42 s");
  CHECK(llama::duration_text(187) == "3:07");
  CHECK(llama::duration_text(7387) == "2:03:07");
}
