#include "support/catch.hpp"

#include <filesystem>
#include <functional>
#include <string>

#include "text/byte_tokenizer.hpp"
#include "json_file.hpp"
#include "llama_support.hpp"
#include "text/tokenizer.hpp"
#include "text/utf8.hpp"

using llama::make_tokenizer;
using llama::token_ids;
using llama_test::mentions;
using llama_test::refusal;
using llama_test::scratch_directory;
using nlohmann::json;

namespace {

const std::filesystem::path data = LLAMA_TEST_DATA;

/// Ids and texts of data/make_vectors.py: what the packages tokenizers and sentencepiece make of them.
void compare_with_vectors(const std::string& name) {
  const auto tokenizer = make_tokenizer(data / name);
  const auto vectors = llama::read_json(data / "vectors.json").at(name);
  REQUIRE(vectors.size() > 40);
  for (const auto& vector : vectors) {
    INFO(name << ": " << vector.at("text").dump());
    const auto decoded = vector.at("decoded").get<std::string>();
    const token_ids ids = tokenizer->encode(vector.at("text").get<std::string>(), false);
    CHECK(ids == vector.at("ids").get<token_ids>());
    CHECK(tokenizer->encode(vector.at("text").get<std::string>(), true) ==
          vector.at("with_special").get<token_ids>());
    CHECK(tokenizer->decode(ids) == decoded);

    llama::stream_decoder stream(*tokenizer);
    std::string streamed;
    for (const auto id : ids) streamed += stream.push(id);
    streamed += stream.finish();
    // A stream may go on from other text, so SentencePiece's first space stays.
    const bool space = name == "sentencepiece" && !ids.empty();
    CHECK(streamed == (space ? " " + decoded : decoded));
  }
}

/// How a tokenizer.json is refused after `change`.
std::string refusal_of(const std::function<void(json&)>& change, const char* config = "{}") {
  const scratch_directory directory;
  llama::byte_tokenizer().save(directory.path());
  json file = llama::read_json(directory.path() / "tokenizer.json");
  change(file);
  directory.write("tokenizer.json", file.dump());
  directory.write("tokenizer_config.json", config);
  return refusal([&] { make_tokenizer(directory.path()); });
}

}  // namespace

#ifdef LLAMA_HAS_ICU
TEST_CASE("byte-level BPE gives the ids of Hugging Face's tokenizers") {
  for (const char* name : {"llama3", "smollm", "qwen", "gpt2"}) compare_with_vectors(name);
}

TEST_CASE("BPE reads malformed UTF-8 as U+FFFD") {
  const auto tokenizer = make_tokenizer(data / "llama3");
  CHECK(tokenizer->encode("a\xFF\xE4\xBD!", false) == tokenizer->encode("a\xEF\xBF\xBD\xEF\xBF\xBD!", false));
}
#else
TEST_CASE("a tokenizer.json with regular expressions is refused without ICU") {
  CHECK(mentions(refusal([] { make_tokenizer(data / "llama3"); }), "libicu-dev"));
}
#endif

#ifdef LLAMA_HAS_SENTENCEPIECE
TEST_CASE("tokenizer.model gives the ids of sentencepiece") { compare_with_vectors("sentencepiece"); }

TEST_CASE("tokenizer_config.json says what SentencePiece adds") {
  const scratch_directory directory;
  std::filesystem::copy_file(data / "sentencepiece/tokenizer.model", directory.path() / "tokenizer.model");
  CHECK(make_tokenizer(directory.path())->bos() == 1);
  CHECK(make_tokenizer(directory.path())->eos() == 2);

  directory.write("tokenizer_config.json", R"({"add_bos_token": false, "add_eos_token": true,
                                               "eos_token": {"content": "</s>"}, "bos_token": "<s>"})");
  const auto tokenizer = make_tokenizer(directory.path());
  token_ids ids = tokenizer->encode("so that", false);
  ids.push_back(2);
  CHECK(tokenizer->encode("so that", true) == ids);
  CHECK(tokenizer->decode(ids) == "so that");

  directory.write("tokenizer_config.json", R"({"eos_token": "<end>"})");
  CHECK(mentions(refusal([&] { make_tokenizer(directory.path()); }), "eos_token = \"<end>\" is no token"));
  directory.write("tokenizer.model", "no protocol buffer");
  CHECK(mentions(refusal([&] { make_tokenizer(directory.path()); }), "tokenizer.model: not a SentencePiece model"));
}
#else
TEST_CASE("a tokenizer.model is refused without SentencePiece") {
  CHECK(mentions(refusal([] { make_tokenizer(data / "sentencepiece"); }), "libsentencepiece-dev"));
}
#endif

TEST_CASE("bytes are tokens") {
  const llama::byte_tokenizer bytes;
  CHECK(bytes.encode("a\xFF", true) == token_ids{256, 97, 255});
  CHECK(bytes.encode("", false).empty());
  CHECK(bytes.decode(token_ids{256, 97, 0xC3, 0xA9, 257, 0xFF, 999, -1}) == "a\xC3\xA9\xEF\xBF\xBD");
  CHECK(bytes.size() == 258);
}

TEST_CASE("the byte tokenizer as a tokenizer.json gives the same ids") {
  const scratch_directory directory;
  const llama::byte_tokenizer bytes;
  bytes.save(directory.path());
  const auto read = make_tokenizer(directory.path());
  const std::string text = "d\xC3\xA9j\xC3\xA0 vu:\t42 \xF0\x9F\x98\x80\r\n";
  CHECK(read->encode(text, true) == bytes.encode(text, true));
  CHECK(read->decode(bytes.encode(text, true)) == text);
  CHECK(read->size() == bytes.size());
  CHECK(read->bos() == bytes.bos());
  CHECK(read->eos() == bytes.eos());
  // Unlike the byte tokenizer, it finds special tokens in a text.
  CHECK(read->encode("a</s>", false) == token_ids{97, 257});
}

TEST_CASE("beginning and end of sequence come from tokenizer_config.json, else from config.json") {
  const scratch_directory directory;
  llama::byte_tokenizer().save(directory.path());
  directory.write("tokenizer_config.json", R"({"eos_token": {"content": "</s>", "lstrip": false}})");
  directory.write("config.json", R"({"bos_token_id": 7, "eos_token_id": [8, 9]})");
  CHECK(make_tokenizer(directory.path())->bos() == 7);
  CHECK(make_tokenizer(directory.path())->eos() == 257);
  directory.write("tokenizer_config.json", "{}");
  CHECK(make_tokenizer(directory.path())->eos() == 8);
  directory.write("config.json", R"({"bos_token_id": -1, "eos_token_id": []})");
  CHECK(!make_tokenizer(directory.path())->bos());
  CHECK(!make_tokenizer(directory.path())->eos());
  directory.write("config.json", R"({"eos_token_id": "</s>"})");
  CHECK(mentions(refusal([&] { make_tokenizer(directory.path()); }), "config.json: eos_token_id = \"</s>\""));
}

TEST_CASE("merges are taken in the order they were learned, the leftmost first") {
  const scratch_directory directory;
  llama::byte_tokenizer().save(directory.path());
  json file = llama::read_json(directory.path() / "tokenizer.json");
  json& model = file["model"];
  for (const char* token : {"aa", "ab", "aab", "bc"}) model["vocab"][token] = 300 + model["vocab"].size() - 256;
  model["merges"] = {"a a", json::array({"b", "c"}), "a b", json::array({"aa", "b"})};
  directory.write("tokenizer.json", file.dump());
  const auto tokenizer = make_tokenizer(directory.path());
  CHECK(tokenizer->encode("aaa", false) == token_ids{300, 97});       // aa a, not a aa
  CHECK(tokenizer->encode("ab", false) == token_ids{301});
  CHECK(tokenizer->encode("aab", false) == token_ids{302});           // aa first, then aab
  CHECK(tokenizer->encode("abc", false) == token_ids{97, 303});       // bc was learned before ab
  CHECK(tokenizer->encode("aabaab", false) == token_ids{302, 302});
}

TEST_CASE("what a tokenizer.json has that isn't supported is refused by name") {
  const auto refused = [](const std::function<void(json&)>& change, const char* part) {
    const std::string message = refusal_of(change);
    INFO(message);
    CHECK(mentions(message, "tokenizer.json"));
    CHECK(mentions(message, part));
  };
  CHECK(refusal_of([](json&) {}) == "nothing was refused");
  refused([](json& t) { t["model"]["type"] = "Unigram"; }, "type = \"Unigram\" is not supported");
  refused([](json& t) { t["model"]["byte_fallback"] = true; }, "byte_fallback = true is not supported");
  refused([](json& t) { t["model"]["dropout"] = 0.1; }, "dropout");
  refused([](json& t) { t["model"]["end_of_word_suffix"] = "</w>"; }, "end_of_word_suffix");
  refused([](json& t) { t["model"]["continuing_subword_prefix"] = "##"; }, "continuing_subword_prefix");
  refused([](json& t) { t["model"]["surprise"] = 1; }, "unknown field surprise");
  refused([](json& t) { t["surprise"] = 1; }, "unknown field surprise");
  refused([](json& t) { t["model"].erase("vocab"); }, "vocab is missing");
  refused([](json& t) { t["model"]["vocab"]["a"] = "97"; }, "the id of \"a\"");
  refused([](json& t) { t["model"]["vocab"]["a"] = -5; }, "no token can have the id -5");
  refused([](json& t) { t["model"]["unk_token"] = "<unk>"; }, "unk_token \"<unk>\"");
  refused([](json& t) { t["model"]["merges"] = {"ab"}; }, "the merge \"ab\" isn't two tokens");
  refused([](json& t) { t["model"]["merges"] = {7}; }, "the merge 7");
  refused([](json& t) { t["model"]["merges"] = {"a b"}; }, "merge 0");
  refused([](json& t) { t["model"]["merges"] = {"\xE2\x96\x81 b"}; }, "byte-level alphabet");
  refused([](json& t) { t["added_tokens"][0]["lstrip"] = true; }, "lstrip = true");
  refused([](json& t) { t["added_tokens"][0]["single_word"] = true; }, "single_word = true");
  refused([](json& t) { t["normalizer"] = {{"type", "Lowercase"}}; }, "normalizer: type Lowercase");
  refused([](json& t) { t["pre_tokenizer"] = {{"type", "Metaspace"}}; }, "pre_tokenizer: type Metaspace");
  refused([](json& t) { t["pre_tokenizer"] = nullptr; }, "pre_tokenizer is missing");
  refused([](json& t) { t["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", json::array()}}; },
          "no ByteLevel");
  refused([](json& t) { t["post_processor"] = {{"type", "BertProcessing"}}; }, "post_processor: type BertProcessing");
  refused([](json& t) { t["post_processor"]["special_tokens"] = json::object(); }, "<s> is missing");
  refused([](json& t) { t["decoder"] = {{"type", "WordPiece"}}; }, "decoder of type WordPiece");
#ifdef LLAMA_HAS_ICU
  const auto split = [](const char* regex, const char* behavior) {
    return json{{"type", "Split"}, {"pattern", {{"Regex", regex}}}, {"behavior", behavior}, {"invert", false}};
  };
  refused([&](json& t) { t["pre_tokenizer"] = split("(", "Isolated"); }, "the regular expression (");
  refused([&](json& t) { t["pre_tokenizer"] = split(" ", "MergedWithNext"); }, "behavior MergedWithNext");
  refused([](json& t) {
    t["pre_tokenizer"] = {{"type", "Split"}, {"pattern", {{"String", " "}}}, {"behavior", "Isolated"}};
  }, "Regex is missing");
#endif
  CHECK(mentions(refusal_of([](json&) {}, R"({"bos_token": "<none>"})"), "bos_token = \"<none>\" is no token"));
}

TEST_CASE("a directory without a tokenizer, and files that aren't JSON, are refused") {
  const scratch_directory directory;
  CHECK(mentions(refusal([&] { make_tokenizer(directory.path()); }), "neither tokenizer.model nor tokenizer.json"));
  directory.write("tokenizer.json", "{\"model\": ");
  CHECK(mentions(refusal([&] { make_tokenizer(directory.path()); }), "tokenizer.json: is not JSON"));
}

TEST_CASE("malformed UTF-8 is replaced by maximal subparts, and a cut character waits") {
  const std::string mark = "\xEF\xBF\xBD";
  CHECK(llama::valid_utf8("\xC3\xA9 \xF0\x9F\x98\x80") == "\xC3\xA9 \xF0\x9F\x98\x80");
  CHECK(llama::valid_utf8("\xF0\x9F\x98") == mark);                    // one cut character
  CHECK(llama::valid_utf8("\xE0\x80\xAF") == mark + mark + mark);      // overlong
  CHECK(llama::valid_utf8("\xED\xA0\x80") == mark + mark + mark);      // surrogate
  CHECK(llama::valid_utf8("\xF4\x90\x80\x80") == mark + mark + mark + mark);
  CHECK(llama::valid_utf8("\xF0\x9F\x41") == mark + "A");
  CHECK(llama::utf8_complete("ab\xF0\x9F\x98") == 2);
  CHECK(llama::utf8_complete("ab\xF0\x9F\x98\x80") == 6);
  CHECK(llama::utf8_complete("\x80\x80\x80\x80") == 4);  // can't become a character
  CHECK(llama::utf8_complete("\xC3") == 0);
  CHECK(llama::utf8_complete("") == 0);
}
