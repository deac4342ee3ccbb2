#include "support/catch.hpp"

#include <filesystem>
#include <functional>
#include <string>

#include "text/byte_tokenizer.hpp"
#include "common/json_file.hpp"
#include "llama_support.hpp"
#include "text/tokenizer.hpp"
#include "common/utf8.hpp"

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
    CHECK(tokenizer->encode(vector.at("text").get<std::string>(), true) == vector.at("with_special").get<token_ids>());
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

std::string notes_of(const scratch_directory& directory) {
  const auto tokenizer = make_tokenizer(directory.path());
  std::string lines;
  for (const std::string& note : tokenizer->notes()) lines += note + "\n";
  return lines;
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

TEST_CASE("special and added tokens have the ids of transformers 4, whatever file they come from") {
  const auto cases = llama::read_json(data / "transformers_4.json");
  REQUIRE(cases.size() >= 16);
  for (const auto& described : cases) {
    const std::filesystem::path source = data / described.at("source").get<std::string>();
    const scratch_directory directory;
    std::filesystem::copy_file(source, directory.path() / source.filename());
    for (const auto& [name, content] : described.at("files").items()) directory.write(name, content.dump());
    INFO(source.filename() << " with " << described.at("files").dump());
    const auto tokenizer = make_tokenizer(directory.path());
    CHECK(json(tokenizer->eos().value_or(-1)) == (described.at("eos").is_null() ? json(-1) : described.at("eos")));
    for (const auto& vector : described.at("vectors")) {
      INFO(vector.at("text").dump());
      const auto text = vector.at("text").get<std::string>();
      CHECK(tokenizer->encode(text, false) == vector.at("ids").get<token_ids>());
      CHECK(tokenizer->encode(text, true) == vector.at("with_special").get<token_ids>());
    }
  }
}

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
  CHECK(tokenizer->notes().empty());

  directory.write("tokenizer_config.json", R"({"eos_token": "<end>"})");
  CHECK(make_tokenizer(directory.path())->eos() == 560);
  CHECK(mentions(notes_of(directory), "eos_token \"<end>\" is in no vocabulary; it becomes the new token 560"));
  directory.write("tokenizer.model", "no protocol buffer");
  CHECK(mentions(refusal([&] { make_tokenizer(directory.path()); }), "tokenizer.model: not a SentencePiece model"));
}

TEST_CASE("a file that isn't what its name says is passed over beside a good one, with a word") {
  const scratch_directory directory;
  const struct {
    const char* content;
    const char* what;
  } others[] = {{"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 2\n", "is a Git LFS pointer"},
                {"IQ== 0\nIg== 1\n", "is a tiktoken file"},
                {" \n", "is empty; download it again"},
                {"<!DOCTYPE html>", "is a web page"}};
  for (const auto& [content, what] : others) {
    INFO(what);
    for (const char* name : {"tokenizer.model", "tokenizer.json"}) {
      const scratch_directory alone;
      alone.write(name, content);
      const std::string message = refusal([&] { make_tokenizer(alone.path()); });
      CHECK(mentions(message, what));
      CHECK(mentions(message, name));
    }
    llama::byte_tokenizer().save(directory.path());
    directory.write("tokenizer.model", content);
    CHECK(mentions(notes_of(directory), what));
    CHECK(make_tokenizer(directory.path())->encode("a", true) == token_ids{256, 97});

    const scratch_directory other;
    std::filesystem::copy_file(data / "sentencepiece/tokenizer.model", other.path() / "tokenizer.model");
    other.write("tokenizer.json", content);
    CHECK(mentions(notes_of(other), what));
  }
  const scratch_directory directory_of_json;
  directory_of_json.write("tokenizer.model", "{}");
  CHECK(mentions(refusal([&] { make_tokenizer(directory_of_json.path()); }), "is JSON, not a SentencePiece model"));
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
  CHECK(tokenizer->encode("aaa", false) == token_ids{300, 97});  // aa a, not a aa
  CHECK(tokenizer->encode("ab", false) == token_ids{301});
  CHECK(tokenizer->encode("aab", false) == token_ids{302});      // aa first, then aab
  CHECK(tokenizer->encode("abc", false) == token_ids{97, 303});  // bc was learned before ab
  CHECK(tokenizer->encode("aabaab", false) == token_ids{302, 302});
}

TEST_CASE("added tokens take white space along, keep to words, and are found in normalised text, as they say") {
  const scratch_directory directory;
  llama::byte_tokenizer().save(directory.path());
  json file = llama::read_json(directory.path() / "tokenizer.json");
  const auto add = [&](int id, const char* content, const json& flags) {
    json token = {{"id", id},        {"content", content},  {"single_word", false}, {"lstrip", false},
                  {"rstrip", false}, {"normalized", false}, {"special", false}};
    token.update(flags);
    file["added_tokens"].push_back(token);
  };
  add(258, "<l>", {{"lstrip", true}});
  add(259, "<r>", {{"rstrip", true}});
  add(260, "<l><r>", json::object());
  add(261, "_b", {{"normalized", true}});
  file["normalizer"] = {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "_"}};
  directory.write("tokenizer.json", file.dump());
  const auto tokenizer = make_tokenizer(directory.path());
  CHECK(tokenizer->encode("a <l> a", false) == token_ids{97, 258, '_', 97});
  CHECK(tokenizer->encode("a <r> \t\u3000a", false) == token_ids{97, '_', 259, 97});
  CHECK(tokenizer->encode("<l><r>", false) == token_ids{260});  // the longest of two at one place
  CHECK(tokenizer->encode("<r> <l>", false) == token_ids{259, 258});
  CHECK(tokenizer->encode("a b_b", false) == token_ids{97, 261, 261});
  CHECK(tokenizer->decode(token_ids{97, 261, 256, 98}) == "a_bb");
  directory.write("tokenizer_config.json", R"({"split_special_tokens": true})");
  CHECK(make_tokenizer(directory.path())->encode("</s>", false) == token_ids{'<', '/', 's', '>'});
#ifdef LLAMA_HAS_ICU
  add(262, "word", {{"single_word", true}});
  directory.write("tokenizer.json", file.dump());
  const auto words = make_tokenizer(directory.path());
  CHECK(words->encode("word", false) == token_ids{262});
  CHECK(words->encode("-word!", false) == token_ids{'-', 262, '!'});
  CHECK(words->encode("words", false) == token_ids{'w', 'o', 'r', 'd', 's'});
#endif
}

TEST_CASE("a word of 256 KiB takes no more than n log n") {
  const scratch_directory directory;
  llama::byte_tokenizer().save(directory.path());
  json file = llama::read_json(directory.path() / "tokenizer.json");
  file["model"]["vocab"]["aa"] = 300;
  file["model"]["vocab"]["aaaa"] = 301;
  file["model"]["merges"] = {"a a", json::array({"aa", "aa"})};
  directory.write("tokenizer.json", file.dump());
  const token_ids ids = make_tokenizer(directory.path())->encode(std::string(1 << 18, 'a'), false);
  CHECK(ids == token_ids(1 << 16, 301));
}

TEST_CASE("what a tokenizer.json has that isn't supported is refused by name") {
  const auto refused = [](const std::function<void(json&)>& change, const char* part) {
    const std::string message = refusal_of(change);
    INFO(message);
    CHECK(mentions(message, "tokenizer.json"));
    CHECK(mentions(message, part));
  };
  CHECK(refusal_of([](json&) {}) == "nothing was refused");
  refused([](json& t) { t["model"]["type"] = "WordPiece"; }, "type = \"WordPiece\" is not supported");
  refused([](json& t) { t["model"]["type"] = "Unigram"; }, "vocab isn't a list");
  refused(
      [](json& t) {
        t["model"] = {{"type", "Unigram"}, {"vocab", json::array({json::array({"a"})})}};
      },
      "the entry [\"a\"]");
  refused([](json& t) { t["model"] = {{"type", "Unigram"}, {"vocab", json::array()}}; }, "unk_id is missing");
  refused([](json& t) { t["model"] = {{"type", "Unigram"}, {"vocab", json::array()}, {"unk_id", 0}}; }, "unk_id = 0");
  refused([](json& t) { t["model"]["dropout"] = 0.1; }, "dropout");
  refused([](json& t) { t["model"]["surprise"] = 1; }, "unknown field surprise");
  refused([](json& t) { t["surprise"] = 1; }, "unknown field surprise");
  refused([](json& t) { t["model"].erase("vocab"); }, "vocab is missing");
  refused([](json& t) { t["model"]["vocab"] = 7; }, "vocab isn't an object");
  refused([](json& t) { t["model"]["vocab"]["a"] = "97"; }, "the id of \"a\"");
  refused([](json& t) { t["model"]["vocab"]["a"] = -5; }, "no token can have the id -5");
  refused([](json& t) { t["model"]["vocab"]["a"] = 1 << 24; }, "no token can have the id 16777216");
  refused([](json& t) { t["model"]["unk_token"] = "<unk>"; }, "unk_token \"<unk>\"");
  refused([](json& t) { t["model"]["merges"] = 7; }, "merges isn't a list");
  refused([](json& t) { t["model"]["merges"] = {"ab"}; }, "the merge \"ab\" isn't two tokens");
  refused([](json& t) { t["model"]["merges"] = {"a b c"}; }, "the merge \"a b c\" isn't two tokens");
  refused([](json& t) { t["model"]["merges"] = {7}; }, "the merge 7");
  refused([](json& t) { t["model"]["merges"] = {"a b"}; }, "merge 0");
  refused([](json& t) { t["model"]["merges"] = {"\xE2\x96\x81 b"}; }, "isn't in the vocabulary");
  refused(
      [](json& t) {
        t["model"]["continuing_subword_prefix"] = "##";
        t["model"]["merges"] = {"a b"};
      },
      "merge 0");
  refused([](json& t) { t["added_tokens"][0]["lstrip"] = 1; }, "lstrip = 1");
  refused([](json& t) { t["added_tokens"][0]["surprise"] = true; }, "unknown field surprise");
  refused([](json& t) { t["added_tokens"][0].erase("id"); }, "id is missing");
  refused([](json& t) { t["added_tokens"] = 7; }, "added_tokens isn't a list");
  for (const char* type : {"BertNormalizer", "Nmt", "Precompiled", "StripAccents"}) {
    refused([&](json& t) { t["normalizer"] = {{"type", type}}; }, (std::string("normalizer: type ") + type).c_str());
  }
  for (const char* type : {"BertPreTokenizer", "UnicodeScripts", "FixedLength"}) {
    refused(
        [&](json& t) {
          t["pre_tokenizer"] = {{"type", type}};
        },
        (std::string("pre_tokenizer: type ") + type).c_str());
  }
  refused([](json& t) { t["pre_tokenizer"] = {{"type", "Metaspace"}}; }, "replacement is missing");
  refused([](json& t) { t["pre_tokenizer"] = {{"type", "Metaspace"}, {"replacement", "__"}}; }, "one character");
  refused(
      [](json& t) {
        t["pre_tokenizer"] = {{"type", "Metaspace"}, {"replacement", "_"}, {"prepend_scheme", "last"}};
      },
      "prepend_scheme = \"last\"");
  for (const char* type : {"BertProcessing", "RobertaProcessing"}) {
    refused(
        [&](json& t) {
          t["post_processor"] = {{"type", type}};
        },
        (std::string("post_processor: type ") + type).c_str());
  }
  refused([](json& t) { t["post_processor"]["special_tokens"] = json::object(); }, "<s> is missing");
  refused([](json& t) { t["post_processor"]["single"] = json::array(); }, "single has no text");
  for (const char* type : {"WordPiece", "CTC"}) {
    refused([&](json& t) { t["decoder"] = {{"type", type}}; }, (std::string("decoder: type ") + type).c_str());
  }
  const auto split = [](const json& pattern, const char* behavior) {
    return json{{"type", "Split"}, {"pattern", pattern}, {"behavior", behavior}, {"invert", false}};
  };
  refused([&](json& t) { t["pre_tokenizer"] = split({{"String", " "}}, "Deleted"); }, "behavior Deleted");
  refused([&](json& t) { t["pre_tokenizer"] = split({{"Glob", "*"}}, "Isolated"); }, "neither String nor Regex");
#ifdef LLAMA_HAS_ICU
  refused([&](json& t) { t["pre_tokenizer"] = split({{"Regex", "("}}, "Isolated"); }, "the regular expression (");
  // What means something else for ICU than for Oniguruma.
  for (const char* regex : {"\\h+", "\\bx", "(?m)a.b", "\\p{N}{1,3}+", "a\\Kb", "(?~ab)"}) {
    refused([&](json& t) { t["pre_tokenizer"] = split({{"Regex", regex}}, "Isolated"); }, "is not supported");
  }
#endif
  CHECK(mentions(refusal_of([](json&) {}, R"({"bos_token": 7})"), "bos_token = 7, expected a token's text"));
}

TEST_CASE("a directory without a tokenizer, and files that aren't JSON, are refused") {
  const scratch_directory directory;
  CHECK(mentions(refusal([&] { make_tokenizer(directory.path()); }), "neither tokenizer.json nor tokenizer.model"));
  directory.write("tokenizer.json", "{\"model\": ");
  CHECK(mentions(refusal([&] { make_tokenizer(directory.path()); }), "tokenizer.json: is not JSON"));
}

TEST_CASE("malformed UTF-8 is replaced by maximal subparts, and a cut character waits") {
  const std::string mark = "\xEF\xBF\xBD";
  CHECK(llama::valid_utf8("\xC3\xA9 \xF0\x9F\x98\x80") == "\xC3\xA9 \xF0\x9F\x98\x80");
  CHECK(llama::valid_utf8("\xF0\x9F\x98") == mark);                // one cut character
  CHECK(llama::valid_utf8("\xE0\x80\xAF") == mark + mark + mark);  // overlong
  CHECK(llama::valid_utf8("\xED\xA0\x80") == mark + mark + mark);  // surrogate
  CHECK(llama::valid_utf8("\xF4\x90\x80\x80") == mark + mark + mark + mark);
  CHECK(llama::valid_utf8("\xF0\x9F\x41") == mark + "A");
  CHECK(llama::utf8_complete("ab\xF0\x9F\x98") == 2);
  CHECK(llama::utf8_complete("ab\xF0\x9F\x98\x80") == 6);
  CHECK(llama::utf8_complete("\x80\x80\x80\x80") == 4);  // can't become a character
  CHECK(llama::utf8_complete("\xC3") == 0);
  CHECK(llama::utf8_complete("") == 0);
}
