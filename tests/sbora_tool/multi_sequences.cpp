// multi_sequences SCRATCH [SEQUENCES]: what `sbora_tool multi` does with files, in one process: random sequences of
// merge and remove of any tasks in any order. After each command the model has the bytes of one that never had the
// others.

#include <cstdio>
#include <exception>

#include <sbora/io.hpp>
#include <sbora/io/adapter/adapter_tensors.hpp>
#include <sbora/io/ledger/ledger_file.hpp>
#include <sbora/io/ledger/verify_merged.hpp>
#include <sbora/io/merge/adapter_changes.hpp>
#include <sbora/io/safetensors/safetensors_writer.hpp>

#include "commands.hpp"
#include "io/temporary_directory.hpp"
#include "support/matrices.hpp"
#include "support/sanitizers.hpp"

namespace {

namespace fs = std::filesystem;
using sbora::index_t;
using sbora_tool::multi_action;
using sbora_tool::multi_options;
using names = std::vector<std::string>;

const names tasks = {"math", "law", "code", "facts"};

names of_subset(unsigned subset) {
  names of;
  for (std::size_t task = 0; task < tasks.size(); ++task) {
    if ((subset >> task & 1U) != 0) of.push_back(tasks[task]);
  }
  return of;
}

void require(bool holds, const std::string& what) {
  if (!holds) throw std::runtime_error(what);
}

/// Four tasks with adapters of one kind over dense weights of three types.
class four_tasks {
 public:
  four_tasks(fs::path folder, const char* kind) : folder_(std::move(folder)), kind_(kind), ledger_({}, 0) {
    fs::create_directories(folder_);
    write_base();
    multi(options(multi_action::init));
    for (std::size_t task = 0; task < tasks.size(); ++task) {
      multi_options claim = options(multi_action::claim);
      claim.task = tasks[task];
      claim.kind = kind_;
      claim.rank = 2;
      claim.seed = task;
      claim.adapter = folder_ / tasks[task];
      multi(claim);
      auto adapter = sbora::load_sbora(claim.adapter).adapter;
      sbora_tests::fill_random(adapter.parameters(), task + 10);
      save_sbora(adapter, claim.adapter);
    }
    ledger_ = sbora::load_ledger(folder_ / "ledger.json");
    adapters_ = load_task_adapters(ledger_, folder_ / "ledger.json", tasks);
    for (unsigned subset = 0; subset < 16; ++subset) expected_.push_back(never_had_others(of_subset(subset)));
  }

  /// Four commands from the base on: each a merge, or a removal of some tasks that are in the model.
  void run_sequence(sbora::random_stream& random) {
    unsigned now = 0;
    fs::copy_file(folder_ / "base.safetensors", model(), fs::copy_options::overwrite_existing);
    for (int command = 0; command < 4; ++command) {
      const auto some = static_cast<unsigned>(random.below(16));
      if ((some & now) != 0 && random.below(4) != 0) {
        run(multi_action::remove, in_any_order(some & now, random));
        now &= ~some;
      } else if (some != 0) {  // no names are all tasks
        run(multi_action::merge, in_any_order(some, random));
        now = some;
      }
      check(now);
    }
  }

  std::size_t commands() const { return commands_; }

 private:
  multi_options options(multi_action action) const {
    multi_options made;
    made.action = action;
    made.ledger = folder_ / "ledger.json";
    made.base = folder_ / "base.safetensors";
    made.force = true;
    (action == multi_action::merge ? made.output : made.model) = model();
    return made;
  }
  fs::path model() const { return folder_ / "model.safetensors"; }

  void run(multi_action action, const names& of) {
    multi_options set = options(action);
    set.tasks = of;
    require(multi(set) == 0, "a command failed");
    ++commands_;
  }

  static names in_any_order(unsigned subset, sbora::random_stream& random) {
    names of = of_subset(subset);
    for (std::size_t i = of.size(); i > 1; --i) {
      std::swap(of[i - 1], of[static_cast<std::size_t>(random.below(static_cast<index_t>(i)))]);
    }
    return of;
  }

  void write_base() const {
    sbora::detail::tensor_pool pool;
    pool.add_owned("q.weight", {12, 10}, sbora_tests::random_vector<float>(120, 1));
    pool.add_owned("k.weight", {9, 11}, sbora_tests::random_vector<Eigen::bfloat16>(99, 2));
    pool.add_owned("up.weight", {10, 9}, sbora_tests::random_vector<Eigen::half>(90, 3));
    pool.add_owned("norm.weight", {10}, sbora_tests::random_vector<float>(10, 4));
    write_safetensors(folder_ / "base.safetensors", pool.tensors());
  }

  /// Of a model into which each adapter was merged alone, without a ledger.
  std::string never_had_others(const names& of) const {
    fs::path at = folder_ / "base.safetensors";
    for (const std::string& task : of) {
      const auto adapter = sbora::load_sbora(folder_ / task).adapter;
      const fs::path next = folder_ / ("with_" + task + ".safetensors");
      write_merged_checkpoint(sbora::checkpoint::open(at), adapter_changes(adapter), next);
      at = next;
    }
    return sbora_tests::read_file(at);
  }

  void check(unsigned subset) const {
    require(sbora_tests::read_file(model()) == expected_[subset],
            "the model isn't the bytes of one that never had the others");
    const sbora::region_ledger ledger = sbora::load_ledger(folder_ / "ledger.json");
    require(ledger == ledger_, "the ledger changed");
    const auto base = sbora::checkpoint::open(folder_ / "base.safetensors"), now = sbora::checkpoint::open(model());
    require(verify_merged(ledger, adapters_, base, now) == of_subset(subset), "verify names other tasks");
  }

  fs::path folder_;
  const char* kind_;
  sbora::region_ledger ledger_;
  sbora::task_adapters adapters_;
  std::vector<std::string> expected_;  // the model's bytes, by subset of the tasks
  std::size_t commands_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  try {
    const fs::path scratch = argv[1];
    fs::remove_all(scratch);
    const int sequences = argc > 2                                             ? std::stoi(argv[2])
                          : sbora_tests::under_asan || sbora_tests::under_tsan ? 50
                                                                               : 1000;
    for (const char* kind : {"fa", "fb"}) {
      four_tasks of(scratch / kind, kind);
      sbora::random_stream random(kind[1]);
      int sequence = 0;
      try {
        for (; sequence < sequences; ++sequence) of.run_sequence(random);
      } catch (const std::exception& error) {
        throw std::runtime_error(std::string(kind) + ", sequence " + std::to_string(sequence) + ": " + error.what());
      }
      std::fprintf(stderr, "%s: %d sequences, %zu commands\n", kind, sequences, of.commands());
    }
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "multi_sequences: %s\n", error.what());
    return 1;
  }
}
