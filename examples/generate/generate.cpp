// Answers prompts with a LLaMA and any of several FA and FB adapters, or all of them at once. They are all in memory:
// changing the adapter changes the numbers that tokens are routed by, and nothing else.

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <filesystem>
#include <functional>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <fmt/core.h>

#include <sbora/io/errors.hpp>

#include "common/option_checks.hpp"
#include "data/prompt.hpp"
#include "model/adapter_files.hpp"
#include "model/generation.hpp"
#include "text/tokenizer.hpp"

namespace generate {

using namespace llama;

struct options {
  std::string base_model;
  std::vector<std::string> adapters;
  bool raw = false;
  index_t max_new_tokens = 256;
  int bits = 16, threads = 0;
  bool bf16 = false;
};

constexpr const char* about =
    "Answers each line of the input with a LLaMA, greedily, with one of the adapters or without any. Lines that begin\n"
    "with / are commands; /help says which there are. Exit code 2: an option or a file is wrong.";
constexpr const char* commands =
    "TEXT          is answered\n"
    "/all TEXT     is answered by the base model and by each adapter, in one batch\n"
    "/use NAME     answer with this adapter from now on; none: with the base model alone\n"
    "/adapters     the names of the adapters\n"
    "/tokens N     at most so many tokens an answer\n"
    "/quit         as the end of the input\n";

std::optional<options> parse_options(int argc, char** argv) {
  options set;
  CLI::App app(about);
  app.name("generate");
  app.get_formatter()->column_width(28);
  app.option_defaults()->always_capture_default();
  app.add_option("--base_model", set.base_model, "a LLaMA's folder, or a GGUF file")
      ->type_name("PATH")
      ->required()
      ->check(check_name);
  app.add_option("--adapters", set.adapters, "folders of FA and FB adapters, as llama saves them; the first is in use")
      ->type_name("DIR,...")
      ->default_str("")
      ->delimiter(',')
      ->check(check_name);
  app.add_flag("--raw", set.raw, "the model goes on from the text itself, not from the prompt that llama trains with");
  app.add_option("--max_new_tokens", set.max_new_tokens, "tokens an answer has at most")
      ->type_name("N")
      ->check(between(1, 1e6));
  app.add_option("--bits", set.bits, "of the frozen weights: 16 as stored, 8 LLM.int8, 4 NF4")
      ->type_name("N")
      ->check(one_of({"16", "8", "4"}));
  app.add_flag("--bf16", set.bf16, "multiply in bfloat16");
  app.add_option("--threads", set.threads, "threads; 0: all; answers don't depend on it")
      ->type_name("N")
      ->check(between(0, 1024));
  if (!parse_or_help(app, [&] { app.parse(argc, argv); })) return std::nullopt;
  return set;
}

/// A decoder whose sequences have adapters of their own.
class routed_decoder {
 public:
  /// `rows` are those that the model's adapters are attached with.
  routed_decoder(model& of, thread_pool& pool, sbora::adapter_rows& rows, index_t adapters)
      : decoder_(of, pool), rows_(rows), adapters_(adapters) {}

  /// Whose the sequences of the next prompts are.
  void route(std::vector<index_t> adapters) { of_sequence_ = std::move(adapters); }

  const matrix& prefill(const token_batch& prompts, index_t new_tokens) {
    std::vector<index_t> ids;
    for (const index_t adapter : of_sequence_) {
      ids.insert(ids.end(), static_cast<std::size_t>(prompts.length), adapter);
    }
    rows_.assign(ids, adapters_);
    return decoder_.prefill(prompts, new_tokens);
  }
  const matrix& step(std::span<const token_id> tokens) {
    if (shown) shown(tokens);
    rows_.assign(of_sequence_, adapters_);
    return decoder_.step(tokens);
  }
  void keep(std::span<const index_t> sequences) {
    std::vector<index_t> kept;
    for (const index_t sequence : sequences) kept.push_back(of_sequence_[static_cast<std::size_t>(sequence)]);
    of_sequence_ = std::move(kept);
    decoder_.keep(sequences);
  }

  std::function<void(std::span<const token_id>)> shown;  ///< is told the tokens as they come, but for the last ones

 private:
  decoder decoder_;
  sbora::adapter_rows& rows_;
  index_t adapters_;
  std::vector<index_t> of_sequence_;
};

class conversation {
 public:
  explicit conversation(const options& set)
      : set_(set),
        pool_(set.threads > 0 ? set.threads : static_cast<int>(std::max(1U, std::thread::hardware_concurrency()))),
        tokenizer_(make_tokenizer(set.base_model)),
        net_(model::load(set.base_model, loading(set), pool_)) {
    for (const std::string& folder : set.adapters) add(folder);
    net_.attach_mixed([&](const std::string& module) { return deltas_of(module); }, rows_);
    decoder_.emplace(net_, pool_, rows_, std::ssize(adapters_));
    if (!adapters_.empty()) used_ = 0;
  }

  /// Lines up to the end of the input. Wrong commands are said, and change nothing.
  void run(std::istream& input) {
    const bool asks = isatty(STDIN_FILENO) != 0;
    std::string line;
    for (;;) {
      if (asks) std::cout << name_of(used_) << "> " << std::flush;
      if (!std::getline(input, line)) break;
      if (!line.empty() && line.back() == '\r') line.pop_back();
      if (line == "/quit") return;
      try {
        follow(line);
      } catch (const input_error& error) {
        std::cerr << error.what() << std::endl;
      }
    }
    if (asks) std::cout << std::endl;
  }

 private:
  struct named_adapter {
    std::string name;
    sbora::model_adapter<float> adapter;
  };

  static load_options loading(const options& set) {
    load_options how;
    how.bits = set.bits;
    how.bf16 = set.bf16;
    return how;
  }

  void add(const std::string& folder) {
    std::filesystem::path path = std::filesystem::path(folder).lexically_normal();
    if (!path.has_filename()) path = path.parent_path();
    const std::string name = path.filename().string();
    const bool again = std::ranges::any_of(adapters_, [&](const named_adapter& other) { return other.name == name; });
    if (again || name == "none") {
      throw input_error("--adapters: " + folder + ": adapters are told apart by their folders' names, and '" + name +
                        (again ? "' is there twice" : "' means no adapter") + "; rename or link it");
    }
    adapters_.push_back({name, read_adapter(net_, path)});
  }

  sbora::delta_list<float> deltas_of(const std::string& module) const {
    sbora::delta_list<float> deltas;
    for (const named_adapter& each : adapters_) {
      deltas.push_back(each.adapter.has(module) ? each.adapter.delta(module) : sbora::weight_delta<float>{});
    }
    return deltas;
  }

  std::string name_of(index_t adapter) const {
    return adapter == sbora::no_adapter ? "none" : adapters_[static_cast<std::size_t>(adapter)].name;
  }

  void follow(const std::string& line) {
    if (line.empty()) return;
    if (line[0] != '/') return answer(line);
    const std::size_t blank = line.find(' ');
    const std::string command = line.substr(0, blank);
    const std::string rest = blank == std::string::npos ? "" : line.substr(blank + 1);
    if (command == "/help") {
      std::cout << commands << std::flush;
    } else if (command == "/adapters") {
      for (const named_adapter& each : adapters_) std::cout << each.name << "\n";
      std::cout << std::flush;
    } else if (command == "/use") {
      use(rest);
    } else if (command == "/tokens") {
      index_t count = 0;
      if (!CLI::detail::lexical_cast(rest, count) || count < 1) throw input_error("/tokens: a number above 0, please");
      set_.max_new_tokens = count;
    } else if (command == "/all") {
      if (rest.empty()) throw input_error("/all: what is to be answered?");
      answer_by_all(rest);
    } else {
      throw input_error(command + ": no such command; /help says which there are");
    }
  }

  void use(const std::string& name) {
    if (name == "none") {
      used_ = sbora::no_adapter;
      return;
    }
    const auto found = std::ranges::find(adapters_, name, &named_adapter::name);
    if (found == adapters_.end()) throw input_error("/use: no adapter '" + name + "'; /adapters says which there are");
    used_ = found - adapters_.begin();
  }

  token_ids encode(const std::string& text) const {
    task_row row;
    row.instruction = text;
    token_ids prompt = encode_prompt(set_.raw ? text : evaluation_prompt(row), *tokenizer_);
    if (prompt.empty()) throw input_error("no tokens to go on from");
    return prompt;
  }

  /// By the adapter in use, while it comes.
  void answer(const std::string& text) {
    stream_decoder words(*tokenizer_);
    std::size_t count = 0;
    decoder_->shown = [&](std::span<const token_id> tokens) {
      std::cout << words.push(tokens[0]) << std::flush;
      ++count;
    };
    const auto start = std::chrono::steady_clock::now();
    const std::vector<token_ids> answers = answers_of(encode(text), {used_});
    while (count < answers[0].size()) std::cout << words.push(answers[0][count++]);
    std::cout << words.finish() << std::endl;
    say_speed(count, start);
  }

  void answer_by_all(const std::string& text) {
    std::vector<index_t> all = {sbora::no_adapter};
    for (index_t i = 0; i < std::ssize(adapters_); ++i) all.push_back(i);
    decoder_->shown = nullptr;
    const auto start = std::chrono::steady_clock::now();
    const std::vector<token_ids> answers = answers_of(encode(text), all);
    std::size_t count = 0;
    for (std::size_t i = 0; i < all.size(); ++i) {
      std::cout << name_of(all[i]) << ": " << tokenizer_->decode(answers[i]) << "\n";
      count += answers[i].size();
    }
    std::cout << std::flush;
    say_speed(count, start);
  }

  std::vector<token_ids> answers_of(const token_ids& prompt, const std::vector<index_t>& adapters) {
    decoder_->route(adapters);
    return llama::generate(*decoder_, std::vector<token_ids>(adapters.size(), prompt), set_.max_new_tokens,
                           tokenizer_->eos());
  }

  static void say_speed(std::size_t tokens, std::chrono::steady_clock::time_point start) {
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start;
    std::cerr << fmt::format("[{} tokens, {:.1f} a second]", tokens, static_cast<double>(tokens) / passed.count())
              << std::endl;
  }

  options set_;
  thread_pool pool_;
  std::unique_ptr<tokenizer> tokenizer_;
  model net_;
  std::vector<named_adapter> adapters_;
  sbora::adapter_rows rows_;
  std::optional<routed_decoder> decoder_;
  index_t used_ = sbora::no_adapter;
};

int report(const char* what, int exit_code) {
  std::fprintf(stderr, "generate: %s\n", what);
  return exit_code;
}

}  // namespace generate

int main(int argc, char** argv) {
  using generate::report;
  try {
    if (const auto set = generate::parse_options(argc, argv)) generate::conversation(*set).run(std::cin);
    return 0;
  } catch (const examples::input_error& error) {
    return report(error.what(), 2);
  } catch (const sbora::error& error) {
    return report(error.what(), 2);
  } catch (const std::exception& error) {
    return report(error.what(), 1);
  }
}
