// Tasks in a model's files: merged in any order, taken out, proven to the last bit; and all that can be wrong, named.

#include <sbora/io/adapter/adapter_tensors.hpp>
#include <sbora/io/adapter/sbora_checkpoint.hpp>
#include <sbora/io/ledger/ledger_file.hpp>
#include <sbora/io/ledger/ledger_modules.hpp>
#include <sbora/io/ledger/model_fingerprint.hpp>
#include <sbora/io/ledger/verify_merged.hpp>
#include <sbora/io/safetensors/safetensors_writer.hpp>
#include <sbora/merge/merger.hpp>
#include <sbora/model/make_adapter.hpp>

#include <numeric>

#include "io/temporary_directory.hpp"
#include "support/matrices.hpp"
#include "support/message.hpp"

using namespace sbora_tests;
using sbora::adapter_kind;
using sbora::region;
using sbora::region_ledger;
using names = std::vector<std::string>;

namespace {

const std::vector<sbora::model_module> modules = {{"q", 24, 16}, {"up", 20, 24}};

/// A base of two modules, one in bf16, and a norm; a ledger; tasks on it, with adapters in files.
struct multi_model {
  temporary_directory folder;
  std::filesystem::path base_path = folder / "base.safetensors", ledger_path = folder / "ledger.json";
  std::vector<float> q = random_vector<float>(24 * 16, 1), norm = random_vector<float>(16, 2);
  std::vector<Eigen::bfloat16> up = random_vector<Eigen::bfloat16>(20 * 24, 3);

  explicit multi_model(int tasks = 4) {
    write_base(base_path);
    create_ledger(ledger_path, region_ledger(modules, model_fingerprint(base())));
    for (int task = 0; task < tasks; ++task) add("task" + std::to_string(task), static_cast<std::uint64_t>(task));
  }

  void write_base(const std::filesystem::path& path) const {
    sbora::detail::tensor_pool pool;
    pool.add_owned<float>("q.weight", {24, 16}, std::vector<float>(q));
    pool.add_owned<Eigen::bfloat16>("up.weight", {20, 24}, std::vector<Eigen::bfloat16>(up));
    pool.add_owned<float>("norm.weight", {16}, std::vector<float>(norm));
    sbora::write_safetensors(path, pool.tensors());
  }

  /// Columns of q, rows of up.
  void add(const std::string& task, std::uint64_t seed) {
    sbora::change_ledger(ledger_path, [&](region_ledger& ledger) {
      const std::vector<sbora::region_request> requests = {{"q", adapter_kind::fa, 3}, {"up", adapter_kind::fb, 4}};
      ledger.claim(task, requests, sbora::uniform_among_free(seed));
      ledger.set_adapter(task, task);
    });
    save(task, seed);
  }
  void save(const std::string& task, std::uint64_t seed) {
    const region_ledger now = ledger();
    sbora::model_adapter<float> adapter = sbora::make_adapter<float>(
        {.kind = adapter_kind::fa,
         .kind_pattern = {{"up", adapter_kind::fb}},
         .r = 3,
         .target_modules = {{"q", "up"}},
         .rank_pattern = {{"up", 4}}},
        modules, seed,
        [&](const auto& module, index_t, index_t, std::uint64_t) { return now.target(task, module.name); });
    fill_random(adapter.parameters(), seed + 10);
    save_sbora(adapter, folder / task);
  }

  sbora::checkpoint base() const { return sbora::checkpoint::open(base_path); }
  region_ledger ledger() const { return sbora::load_ledger(ledger_path); }
  sbora::task_adapters adapters() const { return load_task_adapters(ledger(), ledger_path, task_names(ledger())); }

  std::filesystem::path merge(const names& tasks, const std::string& name = "merged.safetensors") const {
    const auto all = adapters();
    const auto from = base();
    write_merged_checkpoint(from, task_changes(ledger(), all, from, tasks), folder / name);
    return folder / name;
  }
  names verify(const std::filesystem::path& model) const {
    return verify_merged(ledger(), adapters(), base(), sbora::checkpoint::open(model));
  }
  names problems(const std::filesystem::path& model) const {
    try {
      verify(model);
    } catch (const sbora::checkpoint_error& error) {
      return error.problems();
    }
    return {"nothing was thrown"};
  }
};

}  // namespace

TEST_CASE("a model's fingerprint is of its tensors, and of nothing else") {
  const multi_model of(0);
  const std::uint64_t whole = model_fingerprint(of.base());
  multi_model other(0);
  const auto fingerprint = [&] {
    other.write_base(other.base_path);
    return model_fingerprint(other.base());
  };
  CHECK(fingerprint() == whole);
  other.norm[3] += 1;
  CHECK(fingerprint() != whole);
  // Shards in another order, with metadata.
  const auto base = of.base();
  std::vector<sbora::tensor_view> tensors(base.tensors().begin(), base.tensors().end());
  std::reverse(tensors.begin(), tensors.end());
  const auto path = of.folder / "other.safetensors";
  sbora::write_safetensors(path, tensors, {{"format", "pt"}});
  CHECK(model_fingerprint(sbora::checkpoint::open(path)) == whole);
  tensors.pop_back();
  sbora::write_safetensors(path, tensors);
  CHECK(model_fingerprint(sbora::checkpoint::open(path)) != whole);
}

TEST_CASE("all subsets of tasks, merged in files in any order, are what verify says") {
  const multi_model of;
  sbora::random_stream random(1);
  CHECK(of.verify(of.base_path).empty());
  for (unsigned subset = 0; subset < 16; ++subset) {
    names tasks;
    for (unsigned task = 0; task < 4; ++task) {
      if ((subset >> task & 1U) != 0) tasks.push_back("task" + std::to_string(task));
    }
    const std::string bytes = read_file(of.merge(tasks));
    CHECK(of.verify(of.folder / "merged.safetensors") == tasks);
    names others = tasks;
    for (std::size_t i = others.size(); i > 1; --i)
      std::swap(others[i - 1], others[static_cast<std::size_t>(random.below(static_cast<index_t>(i)))]);
    CHECK(read_file(of.merge(others, "again.safetensors")) == bytes);
    if (tasks.empty()) CHECK(bytes == read_file(of.base_path));
  }
}

TEST_CASE("four tasks in all 24 orders in memory, and 1,000 random merges and removals, give the files' bytes") {
  const multi_model of;
  const auto adapters = of.adapters();
  names order = task_names(of.ledger());
  const auto expected_path = of.merge(order);
  const auto expected = sbora::checkpoint::open(expected_path);
  const auto check = [&](const std::vector<float>& q, const std::vector<Eigen::bfloat16>& up,
                         const sbora::checkpoint& model) {
    const auto same = [](const auto& values, const sbora::tensor_view& tensor) {
      return std::memcmp(values.data(), tensor.data.data(), tensor.data.size()) == 0;
    };
    return same(q, model.at("q.weight")) && same(up, model.at("up.weight"));
  };
  do {
    std::vector<float> q = of.q;
    std::vector<Eigen::bfloat16> up = of.up;
    sbora::merger of_q{sbora::weight_view<float>(q.data(), 24, 16)};
    sbora::merger of_up{sbora::weight_view<Eigen::bfloat16>(up.data(), 20, 24)};
    for (const std::string& task : order) {
      of_q.merge(adapters.find(task)->second.fa("q"));
      of_up.merge(adapters.find(task)->second.fb("up"));
    }
    CHECK(check(q, up, expected));
  } while (std::next_permutation(order.begin(), order.end()));

  // The bytes of models that never had what isn't merged.
  std::vector<sbora::checkpoint> subsets;
  for (unsigned subset = 0; subset < 16; ++subset) {
    names tasks;
    for (std::size_t task = 0; task < 4; ++task) {
      if ((subset >> task & 1U) != 0) tasks.push_back(order[task]);
    }
    subsets.push_back(sbora::checkpoint::open(of.merge(tasks, "subset" + std::to_string(subset) + ".safetensors")));
  }
  sbora::random_stream random(2);
  for (int sequence = 0; sequence < 1000; ++sequence) {
    std::vector<float> q = of.q;
    std::vector<Eigen::bfloat16> up = of.up;
    sbora::merger of_q{sbora::weight_view<float>(q.data(), 24, 16)};
    sbora::merger of_up{sbora::weight_view<Eigen::bfloat16>(up.data(), 20, 24)};
    unsigned merged = 0;
    bool same = true;
    for (int step = 0; step < 12; ++step) {
      const auto task = static_cast<std::size_t>(random.below(4));
      const auto& adapter = adapters.find(order[task])->second;
      const unsigned bit = 1U << task;
      if ((merged & bit) == 0) of_q.merge(adapter.fa("q")), of_up.merge(adapter.fb("up"));
      else of_q.unmerge(adapter.fa("q")), of_up.unmerge(adapter.fb("up"));
      merged ^= bit;
      same = same && check(q, up, subsets[merged]);
    }
    CHECK(same);
  }
}

TEST_CASE("verify names every element that is nobody's, lost or changed") {
  const multi_model of;
  const auto path = of.merge({"task1", "task2"});
  const auto change = [&](const std::string& tensor, index_t row, index_t column) {
    std::string bytes = read_file(path);
    const auto model = sbora::checkpoint::open(path);
    const auto& found = model.at(tensor);
    const auto offset = static_cast<std::size_t>(found.data.data() - model.files()[0].bytes().data()) +
                        found.data.size() / static_cast<std::size_t>(found.elements()) *
                            static_cast<std::size_t>(row * found.shape.back() + column);
    bytes[offset] = static_cast<char>(bytes[offset] ^ 1);
    write_file(path, bytes);
  };
  const region_ledger ledger = of.ledger();
  const index_t owned = ledger.target("task1", "q").indices()[0], other = ledger.target("task0", "q").indices()[1];
  const index_t row = ledger.target("task2", "up").indices()[0];
  index_t free = ledger.free_indices("q", adapter_kind::fa)[0];
  change("q.weight", 5, owned);
  change("q.weight", 7, other);
  change("q.weight", 2, free);
  change("up.weight", row, 3);
  change("norm.weight", 0, 4);
  const auto problems = of.problems(path);
  const auto has = [&](const std::string& start, const std::string& end) {
    return std::count_if(problems.begin(), problems.end(), [&](const std::string& problem) {
      return problem.starts_with(start + ": expected ") && problem.ends_with(end);
    });
  };
  CHECK(problems.size() == 5);
  CHECK(has("tensor 'q.weight' row 5, column " + std::to_string(owned), "(of task 'task1', which is in it)") == 1);
  CHECK(has("tensor 'q.weight' row 7, column " + std::to_string(other), "(of task 'task0', which isn't in it)") == 1);
  CHECK(has("tensor 'q.weight' row 2, column " + std::to_string(free), "(nobody's)") == 1);
  CHECK(has("tensor 'up.weight' row " + std::to_string(row) + ", column 3", "(of task 'task2', which is in it)") == 1);
  CHECK(has("tensor 'norm.weight' row 0, column 4", "(nobody's)") == 1);
}

TEST_CASE("tasks on the experts of a stack, on rows and columns, of both orders") {
  const std::string up = "mlp.experts.gate_up_proj", down = "mlp.experts.down_proj";
  const auto name = [](const std::string& stack, index_t e) { return stack + "[" + std::to_string(e) + "]"; };
  for (const bool turned : {false, true}) {
    CAPTURE(turned);  // experts × d_in × d_out, which the two stacks' sizes say
    const temporary_directory folder;
    const index_t hidden = 10, wide = 12;  // gate_up: 2·wide × hidden, down: hidden × wide
    const auto of_up = random_vector<float>(3 * 2 * wide * hidden, 1);
    const auto of_down = random_vector<Eigen::bfloat16>(3 * wide * hidden, 2);
    sbora::detail::tensor_pool pool;
    pool.add_owned(up, {3, turned ? hidden : 2 * wide, turned ? 2 * wide : hidden}, std::vector<float>(of_up));
    pool.add_owned(down, {3, turned ? wide : hidden, turned ? hidden : wide}, std::vector<Eigen::bfloat16>(of_down));
    sbora::write_safetensors(folder / "base.safetensors", pool.tensors());
    const auto base = sbora::checkpoint::open(folder / "base.safetensors");
    const auto all = ledger_modules(base);
    REQUIRE(all.size() == 6);
    region_ledger ledger(all, model_fingerprint(base));
    sbora::task_adapters adapters;
    const auto add = [&](const std::string& task, const std::vector<sbora::region_request>& requests) {
      ledger.claim(task, requests, sbora::uniform_among_free(3));
      std::vector<sbora::adapter_part> parts;
      for (const auto& [module, kind, target] : ledger.at(task).regions) {
        const auto& of = *std::ranges::find(all, module, &sbora::model_module::name);
        parts.push_back({module, of.d_out, of.d_in, target, 3, {}, kind});
      }
      sbora::model_adapter<float> made(adapter_kind::fa, {}, std::move(parts));
      fill_random(made.parameters(), 7 + adapters.size());
      adapters.insert_or_assign(task, std::move(made));
    };
    add("a",
        {{name(up, 0), adapter_kind::fa, 3}, {name(up, 2), adapter_kind::fb, 4}, {name(down, 1), adapter_kind::fa, 2}});
    add("b", {{name(up, 0), adapter_kind::fa, 2},
              {name(down, 1), adapter_kind::fa, 5},
              {name(down, 2), adapter_kind::fb, 1}});
    const auto path = folder / "merged.safetensors";
    for (const names& tasks : std::vector<names>{{}, {"a"}, {"b"}, {"a", "b"}}) {
      write_merged_checkpoint(base, task_changes(ledger, adapters, base, tasks), path);
      const auto merged = sbora::checkpoint::open(path);
      CHECK(verify_merged(ledger, adapters, base, merged) == tasks);
      const auto check = [&](auto values, const std::string& stack, index_t d_out, index_t d_in) {
        using scalar = typename decltype(values)::value_type;
        const auto order = turned ? sbora::storage::in_by_out : sbora::storage::out_by_in;
        for (index_t e = 0; e < 3; ++e) {
          sbora::merger into{sbora::weight_view<scalar>(values.data() + e * d_out * d_in, d_out, d_in, 0, order)};
          for (const std::string& task : tasks) {
            const auto& adapter = adapters.at(task);
            for (const std::string& module : adapter.modules()) {
              if (module == name(stack, e)) adapter.visit(module, [&](const auto& part) { into.merge(part); });
            }
          }
        }
        CHECK(std::memcmp(values.data(), merged.at(stack).data.data(), merged.at(stack).data.size()) == 0);
      };
      check(of_up, up, 2 * wide, hidden);
      check(of_down, down, hidden, wide);
    }
    // An element of a's columns of expert 0 and one of nobody's of expert 1, in the file's rows and columns.
    std::string bytes = read_file(path);
    const auto& tensor = base.at(up);
    const auto flip = [&](index_t slice, index_t row, index_t column) {
      const auto at = static_cast<std::size_t>(tensor.data.data() - base.files()[0].bytes().data()) +
                      4 * static_cast<std::size_t>((slice * tensor.shape[1] + row) * tensor.shape[2] + column);
      bytes[at] = static_cast<char>(bytes[at] ^ 1);
    };
    const index_t owned = ledger.target("a", name(up, 0)).indices()[1];
    flip(0, turned ? owned : 5, turned ? 5 : owned);
    flip(1, 1, 2);
    write_file(path, bytes);
    try {
      verify_merged(ledger, adapters, base, sbora::checkpoint::open(path));
      FAIL("nothing was thrown");
    } catch (const sbora::checkpoint_error& error) {
      REQUIRE(error.problems().size() == 2);
      const std::string where =
          turned ? "row " + std::to_string(owned) + ", column 5" : "row 5, column " + std::to_string(owned);
      CHECK_THAT(error.problems()[0], contains("tensor '" + up + "'[0] " + where + ": expected"));
      CHECK_THAT(error.problems()[0], contains("(of task 'a', which is in it)"));
      CHECK_THAT(error.problems()[1], contains("tensor '" + up + "'[1] row 1, column 2: expected"));
      CHECK_THAT(error.problems()[1], contains("(nobody's)"));
    }
  }
}

TEST_CASE("a ledger's modules have no element twice: experts with tensors of their own are those") {
  const temporary_directory folder;
  sbora::detail::tensor_pool pool;
  for (const char* expert : {"m.mlp.experts.0.", "m.mlp.experts.1."}) {
    for (const char* part : {"gate_proj.weight", "up_proj.weight"}) {
      pool.add_owned<float>(std::string(expert) + part, {4, 6}, std::vector<float>(24));
    }
    pool.add_owned<float>(std::string(expert) + "down_proj.weight", {6, 4}, std::vector<float>(24));
  }
  sbora::write_safetensors(folder / "base.safetensors", pool.tensors());
  const auto base = sbora::checkpoint::open(folder / "base.safetensors");
  CHECK(sbora::checkpoint_weights(base).modules().size() == 10);
  names found;
  for (const auto& module : ledger_modules(base)) found.push_back(module.name);
  std::ranges::sort(found);
  CHECK(found == names{"m.mlp.experts.0.down_proj", "m.mlp.experts.0.gate_proj", "m.mlp.experts.0.up_proj",
                       "m.mlp.experts.1.down_proj", "m.mlp.experts.1.gate_proj", "m.mlp.experts.1.up_proj"});
}

TEST_CASE("verify names models of another base, and tensors that are missing or strange") {
  multi_model of(1);
  const auto base = of.base();
  std::vector<sbora::tensor_view> tensors(base.tensors().begin(), base.tensors().end());
  sbora::tensor_view strange = *base.find("norm.weight");
  std::erase_if(tensors, [](const auto& tensor) { return tensor.name == "norm.weight"; });
  strange.name = "strange";
  tensors.push_back(strange);
  const auto path = of.folder / "strange.safetensors";
  sbora::write_safetensors(path, tensors);
  CHECK(of.problems(path) == names{"the model has no tensor 'norm.weight'", "the base has no tensor 'strange'"});
  of.q[0] += 1;
  of.write_base(of.folder / "other.safetensors");
  CHECK_ERROR(
      sbora::checkpoint_error, "the ledger is of another base",
      verify_merged(of.ledger(), of.adapters(), sbora::checkpoint::open(of.folder / "other.safetensors"), base));
}

TEST_CASE("adapters that are lost, broken, or on other regions are all named") {
  multi_model of;
  std::filesystem::remove_all(of.folder / "task0");
  write_file(of.folder / "task1" / "adapter_model.safetensors", "nothing");
  sbora::change_ledger(of.ledger_path, [](region_ledger& ledger) {
    const auto q = ledger.target("task2", "q");
    std::vector<index_t> edited(q.indices().begin(), q.indices().end());
    edited[0] = ledger.free_indices("q", adapter_kind::fa)[0];
    ledger.release("task2", names{"q"});
    ledger.claim("task2", std::vector<sbora::owned_region>{{"q", adapter_kind::fa, region(16, edited)}});
    ledger.set_adapter("task3", "");
  });
  try {
    of.adapters();
    FAIL("nothing was thrown");
  } catch (const sbora::checkpoint_error& error) {
    REQUIRE(error.problems().size() == 4);
    CHECK_THAT(error.problems()[0], contains("task 'task0': "));
    CHECK_THAT(error.problems()[1], contains("task 'task1': "));
    CHECK_THAT(error.problems()[2],
               contains("task 'task2': module 'q': the adapter's columns aren't the ones that the task owns"));
    CHECK(error.problems()[3] == "task 'task3': the ledger doesn't say where its adapter is");
  }
}
