// llama: fine-tunes a LLaMA with SBoRA-FA, SBoRA-FB or LoRA. The transformer and the trainer are this
// example's own; every linear layer is sbora's.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <thread>

#include <sbora/io/errors.hpp>
#include <sbora/model/problem_list.hpp>

#include "training/distributed.hpp"
#include "program/embedded.hpp"
#include "common/error.hpp"
#include "program/options.hpp"
#include "program/run.hpp"

namespace llama {

/// What this process may use of the machine.
int default_threads(const communicator& processes) {
  const int available = static_cast<int>(std::thread::hardware_concurrency());  // knows the binding to cores
  return std::clamp(available / processes.local_size(), 1, 64);
}

int run(const options& set, const communicator& processes) {
  thread_pool pool(set.threads > 0 ? set.threads : default_threads(processes));
  const session with{set, pool, processes};
  return set.embedded() ? run_embedded(with) : run_fine_tuning(with);
}

/// Says what is wrong and ends the other processes too, which may wait for this one. Of what all of them see, the
/// first one speaks.
int report(const char* what, int exit_code, const communicator& processes) {
  if (!processes.is_first()) std::this_thread::sleep_for(std::chrono::seconds(2));
  std::fprintf(stderr, "llama: %s\n", what);
  processes.abort(exit_code);
  return exit_code;
}

int run_and_report(int argc, char** argv) {
  const communicator processes;
  try {
    const auto set = parse_options(argc, argv);
    return set ? run(*set, processes) : 0;
  } catch (const input_error& error) {
    return report(error.what(), 2, processes);
  } catch (const sbora::checkpoint_error& error) {
    return report(error.what(), 2, processes);
  } catch (const sbora::format_error& error) {
    return report(error.what(), 2, processes);
  } catch (const std::exception& error) {
    return report(error.what(), 1, processes);
  }
}

}  // namespace llama

int main(int argc, char** argv) {
  try {
    return llama::run_and_report(argc, argv);
  } catch (const std::exception& error) {  // of MPI's start
    std::fprintf(stderr, "llama: %s\n", error.what());
    return 2;
  }
}
