#include "support/catch.hpp"

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "text/byte_tokenizer.hpp"
#include "data/dataset.hpp"
#include "data/example_batches.hpp"
#include "llama_support.hpp"

using llama::byte_tokenizer;
using llama::dataset;
using llama::example_batches;
using llama::index_t;
using llama::load_dataset;
using llama::token_batch;
using llama::token_ids;
using llama_test::mentions;
using llama_test::refusal;
using llama_test::scratch_directory;

namespace {

constexpr index_t vocabulary = byte_tokenizer::vocabulary;

dataset load(const scratch_directory& folder, const std::string& name, const std::string& text,
             llama::dataset_options options = {.prompt = {}, .vocab_size = vocabulary}) {
  const byte_tokenizer bytes;
  return load_dataset(folder.write(name, text), &bytes, options);
}

/// `count` examples of 1 to 3 tokens, each of them told by its first.
dataset numbered(index_t count) {
  dataset data;
  for (index_t i = 0; i < count; ++i) {
    const token_ids tokens(static_cast<std::size_t>(1 + i % 3), static_cast<llama::token_id>(100 + i));
    data.examples.push_back({tokens, tokens});
  }
  return data;
}

std::vector<index_t> first(index_t count) {
  std::vector<index_t> result;
  for (index_t i = 0; i < count; ++i) result.push_back(i);
  return result;
}

/// Which examples of numbered() a batch has, in order.
std::vector<index_t> members(const token_batch& batch) {
  std::vector<index_t> result;
  for (index_t row = 0; row < batch.sequences; ++row) {
    result.push_back(batch.tokens[static_cast<std::size_t>((row + 1) * batch.length - 1)] - 100);
  }
  return result;
}

std::vector<index_t> members_of_epoch(const example_batches& batches, index_t epoch) {
  std::vector<index_t> result;
  for (index_t i = 0; i < batches.micro_batches(); ++i) {
    const auto some = members(batches.micro_batch(epoch, i));
    result.insert(result.end(), some.begin(), some.end());
  }
  return result;
}

}  // namespace

TEST_CASE("rows of a JSON array become examples in order") {
  const scratch_directory folder;
  const std::string rows = R"([
    {"instruction": "Add.", "input": "2, 3", "output": "5", "answer": "5.0", "source": 7},
    {"instruction": "Say nothing.", "output": ""}])";
  const dataset data = load(folder, "train.json", rows, {.prompt = {.cutoff_len = 4096}, .vocab_size = vocabulary});
  const byte_tokenizer bytes;
  REQUIRE(data.examples.size() == 2);
  CHECK(bytes.decode(data.examples[0].tokens) == llama::training_prompt({"Add.", "2, 3", "5", ""}));
  CHECK(data.examples[1].tokens.back() == byte_tokenizer::end);
  CHECK(data.summary() == "2 examples, 1 without output");

  const dataset cut = load(folder, "train.json", rows,
                           {.prompt = {.cutoff_len = 250, .train_on_inputs = false}, .vocab_size = vocabulary});
  CHECK(cut.summary() == "2 examples, 1 cut at cutoff_len, 1 with nothing scored, 1 without output");
}

TEST_CASE("JSONL has token ids or rows") {
  const scratch_directory folder;
  const std::string lines =
      "{\"input_ids\": [5, 6, 7], \"labels\": [-100, 6, 7]}\n"
      "\n"
      "{\"input_ids\": [1, 2, 3, 4, 5]}\r\n"
      "{\"instruction\": \"Add.\", \"output\": \"5\"}";
  const dataset data = load(folder, "train.jsonl", lines, {.prompt = {.cutoff_len = 4}, .vocab_size = vocabulary});
  REQUIRE(data.examples.size() == 3);
  CHECK(data.examples[0].tokens == token_ids{5, 6, 7});
  CHECK(data.examples[0].labels == token_ids{-100, 6, 7});
  CHECK(data.examples[1].tokens == token_ids{1, 2, 3, 4});
  CHECK(data.examples[1].labels == token_ids{1, 2, 3, 4});
  CHECK(data.examples[2].tokens == token_ids{byte_tokenizer::begin, 'B', 'e', 'l'});
  CHECK(data.cut == 2);

  // Token ids need no tokenizer, rows do.
  const auto ids = folder.write("ids.jsonl", "{\"input_ids\": [5, 6]}\n");
  CHECK(load_dataset(ids, nullptr, {.prompt = {}, .vocab_size = 7}).examples.size() == 1);
  CHECK(mentions(refusal([&] {
                   load_dataset(folder.path() / "train.jsonl", nullptr, {{}, 8});
                 }),
                 "train.jsonl: line 4: needs a tokenizer"));
}

TEST_CASE("plain text is cut into stretches") {
  const scratch_directory folder;
  const dataset data = load(folder, "story.txt", "abcdefgh", {.prompt = {.cutoff_len = 4}, .vocab_size = vocabulary});
  REQUIRE(data.examples.size() == 2);  // one token is left over: nothing to predict it from
  CHECK(data.examples[0].tokens == token_ids{byte_tokenizer::begin, 'a', 'b', 'c'});
  CHECK(data.examples[1].tokens == token_ids{'d', 'e', 'f', 'g'});
  CHECK(data.examples[1].labels == data.examples[1].tokens);
}

TEST_CASE("data that can't be used is refused with file, place and field") {
  const scratch_directory folder;
  const auto refused = [&](const char* name, const std::string& text, const std::string& part) {
    const std::string message = refusal([&] { load(folder, name, text); });
    INFO(message);
    CHECK(mentions(message, (folder.path() / name).string() + ": " + part));
    CHECK(!mentions(message, "\n"));
  };
  refused("a.json", "", "is not JSON");
  refused("a.json", "[{]", "is not JSON");
  refused("a.json", "{}", "is not a JSON array");
  refused("a.json", "[]", "has no rows");
  refused("a.json", "[5]", "row 0: is not a JSON object");
  const std::string good = R"({"instruction": "i", "output": "o"}, )";
  refused("a.json", "[" + good + R"({"output": "o"}])", "row 1: field \"instruction\" is missing");
  refused("a.json", "[" + good + R"({"prompt": "i", "output": "o"}])", "row 1: field \"instruction\" is missing");
  refused("a.json", "[" + good + R"({"instruction": "", "output": "o"}])", "row 1: field \"instruction\" is empty");
  refused("a.json", "[" + good + R"({"instruction": "i"}])", "row 1: field \"output\" is missing");
  refused("a.json", R"([{"instruction": "i", "output": ["o"]}])", "row 0: field \"output\" isn't a string");
  refused("a.json", R"([{"instruction": "i", "output": "o", "input": 1}])", "row 0: field \"input\" isn't a string");
  refused("a.json", R"([{"instruction": "i", "output": "o", "answer": true}])", "row 0: field \"answer\"");
  refused("a.jsonl", "\n{\"input_ids\": 5}", "line 2: field \"input_ids\" isn't an array");
  refused("a.jsonl", "{\"input_ids\": []}", "line 1: field \"input_ids\" is empty");
  refused("a.jsonl", "{\"input_ids\": [1, 258]}", "line 1: field \"input_ids\" has 258");
  refused("a.jsonl", "{\"input_ids\": [1, -100]}", "line 1: field \"input_ids\" has -100");
  refused("a.jsonl", "{\"input_ids\": [1.5]}", "line 1: field \"input_ids\" has 1.5");
  refused("a.jsonl", "{\"input_ids\": [1], \"labels\": [-99]}", "line 1: field \"labels\" has -99");
  refused("a.jsonl", "{\"input_ids\": [1], \"labels\": [1, 2]}", "line 1: fields \"input_ids\" and \"labels\"");
  refused("a.jsonl", "{\"input_ids\": [1]}\nnonsense", "line 2: is not JSON");
  refused("a.jsonl", "\n\n", "there is nothing to train on");
  refused("a.jsonl", "{\"input_ids\": [1]}", "no token is scored");
  refused("a.txt", "", "there is nothing to train on");

  CHECK(mentions(refusal([&] { load(folder, "b.txt", "xyz", {{}, 200}); }), "gives token 256"));
  CHECK(mentions(refusal([&] { load_dataset(folder.path() / "none.json", nullptr, {}); }), "none.json: no such file"));
  CHECK(mentions(refusal([&] { load_dataset(folder.path(), nullptr, {}); }), ": not a file"));
}

TEST_CASE("what a file is shows its content and its name, whatever the case of its extension") {
  const scratch_directory folder;
  const std::string row = R"({"instruction": "Add.", "output": "5"})", ids = R"({"input_ids": [5, 6]})";
  const std::string array = "[" + row + ",\n " + ids + "]", lines = row + "\n" + ids + "\r\n\n";
  for (const char* name : {"a.json", "a.JSON", "a.jsonl", "a.ndjson", "train", "train.data", "a.json.gz"}) {
    for (const std::string& text : {array, lines, "\xEF\xBB\xBF" + array, "\xEF\xBB\xBF" + lines, "\n " + array}) {
      CAPTURE(name, text);
      const dataset data = load(folder, name, text);
      REQUIRE(data.examples.size() == 2);
      CHECK(data.examples[1].tokens == token_ids{5, 6});
    }
    CHECK(load(folder, name, row).examples.size() == 1);
    CHECK(llama::read_task_rows(folder.write(name, row + "\n" + row)).size() == 2);
  }
  for (const char* name : {"a.txt", "a.TXT", "a.text", "a.md"}) {
    CHECK(load(folder, name, "\xEF\xBB\xBFgr\xC3\xBC\xC3\x9F {not [JSON").examples[0].tokens[1] == 'g');
    CHECK(llama::read_plain_text(folder.path() / name) == "gr\xC3\xBC\xC3\x9F {not [JSON");
  }
}

TEST_CASE("data that isn't understood is refused with what is") {
  const scratch_directory folder;
  const auto refused = [&](const char* name, const std::string& text, const std::string& part) {
    const std::string message = refusal([&] { load(folder, name, text); });
    CAPTURE(name, message, part);
    CHECK(mentions(message, (folder.path() / name).string() + ": " + part));
    CHECK(message.size() < 400);
  };
  refused("a.tsv", "instruction\toutput\nAdd.\t5\n", "isn't JSON, and its name ends in .tsv");
  refused("train", "Once upon a time", "isn't JSON, and its name has no extension");
  refused("train", "{\"instruction\": \"cut", "isn't JSON");
  refused("train", "", "isn't JSON");
  refused("a.log", "[2026-11-28] started",
          "isn't JSON, and its name ends in .log, so it isn't clear what it is; if it is plain text, call it .txt");
  refused("a.txt", R"([{"instruction": "i", "output": "o"}])", "is JSON by its content, text by its name");
  refused("a.txt", "{\"a\": 1}\n{\"a\": 2}\n", "is JSON by its content, text by its name");
  for (const char* name : {"a.txt", "a.json", "a.jsonl", "train"}) {
    refused(name, "\x1F\x8B\x08 rubbish", "is gzip-compressed; unpack it with gunzip");
    refused(name, "PAR1\x15", "is Parquet");
    refused(name, "PK\x03\x04", "is a ZIP archive");
    refused(name, std::string("\xFF\xFE[\0{\0", 6), "is UTF-16");
    refused(name, std::string("[\0{\0", 4), "has a zero byte at offset 1");
    refused(name, "one\ntwo caf\xE9", "is not UTF-8 at offset 11, line 2");
    refused(name, "\xED\xA0\x80", "is not UTF-8 at offset 0");
    refused(name, "\xC0\xAF", "is not UTF-8 at offset 0");
    refused(name, "version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a Git LFS pointer");
  }
  refused("a.json", R"([{"question": "q", "answer": "a"}])",
          "row 0: field \"instruction\" is missing; it has \"answer\", \"question\"");
  refused("a.json", R"({"data": []})", "is not a JSON array of rows, nor JSON lines; it has \"data\"");
  CHECK(mentions(refusal([&] { llama::read_task_rows(folder.write("a.txt", "text")); }), "is text, expected rows"));
}

TEST_CASE("batches are padded on the left, and the padding is neither seen nor scored") {
  dataset data;
  data.examples = {{{7, 8, 9}, {-100, 8, 9}}, {{5}, {5}}};
  const std::vector<index_t> chosen = {1, 0};
  const token_batch batch = padded_batch(data.examples, chosen);
  CHECK(batch.sequences == 2);
  CHECK(batch.length == 3);
  CHECK(batch.tokens == std::vector<std::int32_t>{0, 0, 5, 7, 8, 9});
  CHECK(batch.labels == std::vector<std::int32_t>{-100, -100, 5, -100, 8, 9});
  CHECK(batch.mask == std::vector<std::uint8_t>{0, 0, 1, 1, 1, 1});
}

TEST_CASE("a validation set is drawn by the seed, the rest is trained on") {
  const auto split = llama::split_data(50, 20, 3);
  CHECK(split.validation.size() == 20);
  CHECK(split.training.size() == 30);
  CHECK(std::is_sorted(split.validation.begin(), split.validation.end()));
  std::set<index_t> all(split.training.begin(), split.training.end());
  all.insert(split.validation.begin(), split.validation.end());
  CHECK(all.size() == 50);
  CHECK(llama::split_data(50, 20, 3).validation == split.validation);
  CHECK(llama::split_data(50, 20, 4).validation != split.validation);
  CHECK(llama::split_data(50, 0, 3).training == first(50));
  CHECK(mentions(refusal([] { llama::split_data(50, 50, 3); }), "--val_set_size 50 leaves nothing of 50 examples"));
}

TEST_CASE("a part of the data in which nothing is scored is refused") {
  dataset data;
  data.examples = {{{7, 8}, {-100, -100}}, {{7, 8}, {7, 8}}, {{7}, {7}}};
  llama::check_scored(data, {.training = {0, 1}, .validation = {}});
  CHECK(mentions(refusal([&] {
                   llama::check_scored(data, {.training = {1}, .validation = {0, 2}});
                 }),
                 "none of the 2 rows for validation has a token that is scored"));
  CHECK(mentions(refusal([&] { llama::check_scored(data, {.training = {0}, .validation = {1}}); }),
                 "none of the 1 rows to train on"));
}

TEST_CASE("every epoch has every example once, in an order of its own") {
  const dataset data = numbered(23);
  const example_batches batches(data, first(23), 4, example_batches::order::shuffled, 9);
  CHECK(batches.micro_batches() == 6);
  CHECK(batches.micro_batch(0, 5).sequences == 3);
  std::set<std::vector<index_t>> orders;
  for (index_t epoch = 0; epoch < 4; ++epoch) {
    auto seen = members_of_epoch(batches, epoch);
    orders.insert(seen);
    std::sort(seen.begin(), seen.end());
    CHECK(seen == first(23));
  }
  CHECK(orders.size() == 4);
  const example_batches other(data, first(23), 4, example_batches::order::shuffled, 10);
  CHECK(members_of_epoch(other, 0) != members_of_epoch(batches, 0));
  const example_batches plain(data, {4, 2, 8}, 2, example_batches::order::as_given);
  CHECK(members_of_epoch(plain, 1) == std::vector<index_t>{4, 2, 8});
}

TEST_CASE("a resumed run sees the micro-batches that an undisturbed one sees") {
  const dataset data = numbered(17);
  const example_batches whole(data, first(17), 3, example_batches::order::shuffled, 5);
  for (index_t position = 0; position < 18; ++position) {
    const index_t epoch = position / whole.micro_batches();
    const index_t index = position % whole.micro_batches();
    const example_batches resumed(data, first(17), 3, example_batches::order::shuffled, 5);
    CHECK(resumed.micro_batch(epoch, index).tokens == whole.micro_batch(epoch, index).tokens);
  }
}

TEST_CASE("the order of an epoch never changes between versions") {
  const dataset data = numbered(8);
  const example_batches batches(data, first(8), 8, example_batches::order::shuffled, 42);
  CHECK(members(batches.micro_batch(0, 0)) == std::vector<index_t>{1, 2, 7, 5, 6, 3, 0, 4});
  CHECK(members(batches.micro_batch(3, 0)) == std::vector<index_t>{3, 4, 6, 1, 2, 5, 0, 7});
  CHECK(llama::split_data(8, 3, 42).validation == std::vector<index_t>{3, 4, 6});
}
