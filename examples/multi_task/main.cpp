// multi_task: four tasks in one model, alone, together and one after the other, with SBoRA on regions of their own and
// on overlapping ones, and with LoRA; and how columns can be chosen. questions.cpp has the questions, byte_subject.cpp
// and llama_subject.cpp the models that they are asked of.

#include <cstdio>
#include <exception>

#include <sbora/core/errors.hpp>
#include <sbora/model/instances.hpp>

#include "common/error.hpp"
#include "multi_task/byte_subject.hpp"
#include "multi_task/llama_subject.hpp"
#include "multi_task/options.hpp"
#include "multi_task/questions.hpp"
#include "multi_task/tables.hpp"

namespace multi_task {
namespace {

void run(const options& set) {
  if (!set.tables.empty()) {
    std::fputs(tables_of(results::read(set.tables)).c_str(), stdout);
    return;
  }
  const auto of = set.base_model.empty() ? make_byte_subject(set) : make_llama_subject(set);
  results answers(set.results, of->settings());
  for (index_t seed = 1; seed <= set.seeds; ++seed) ask_all(*of, answers, static_cast<std::uint64_t>(seed));
  std::fputs(tables_of(answers).c_str(), stdout);
}

int report(const char* what, int exit_code) {
  std::fprintf(stderr, "multi_task: %s\n", what);
  return exit_code;
}

}  // namespace
}  // namespace multi_task

int main(int argc, char** argv) {
  using multi_task::report;
  try {
    if (const auto set = multi_task::parse_options(argc, argv)) multi_task::run(*set);
    return 0;
  } catch (const examples::input_error& error) {
    return report(error.what(), 2);
  } catch (const sbora::checkpoint_error& error) {
    return report(error.what(), 2);
  } catch (const multi_task::stopped&) {
    return report("stopped; with --results the same command goes on from here", 130);
  } catch (const std::exception& error) {
    return report(error.what(), 1);
  }
}
