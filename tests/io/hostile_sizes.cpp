// Sizes and texts from files that nobody would write by accident: refused in words, or read in time and memory linear
// in the file.

#include <sbora/core/checked_size.hpp>
#include <sbora/model/describe_adapter.hpp>
#include <sbora/io/adapter/peft_lora_tensors.hpp>
#include <sbora/io/bitsandbytes/bitsandbytes.hpp>
#include <sbora/io/checkpoint/checkpoint.hpp>
#include <sbora/io/adapter/peft_lora.hpp>
#include <sbora/layers/linear.hpp>

#include "io/adapter/adapter_folder.hpp"
#include "support/catch.hpp"

using namespace sbora_tests;
using sbora::index_t;
using sbora::detail::size_product;

namespace {

constexpr index_t huge = index_t{1} << 62;

/// A native FA adapter of rank 4 whose d_in, which no tensor has, is what its config says.
void write_adapter_of(const std::filesystem::path& folder, const std::string& d_in, std::vector<std::int64_t> indices) {
  adapter_by_hand()
      .config(R"({"peft_type": "SBORA", "adapter_name": "sbora_fa", "r": 4, "lora_alpha": 4, "target_modules": ["q"],
                  "sbora": {"version": "0.1.0", "modules": [{"name": "m.q", "d_out": 2, "d_in": )" +
              d_in + "}]}}")
      .tensor<std::int64_t>("base_model.model.m.q.lora_A", {4}, std::move(indices))
      .tensor<float>("base_model.model.m.q.lora_B.weight", {2, 4}, {1, 2, 3, 4, 5, 6, 7, 8})
      .write(folder);
}

}  // namespace

TEST_CASE("one product of sizes: right, or none") {
  CHECK(size_product({}) == 1);
  CHECK(size_product({3, 5, 7}) == 105);
  CHECK(size_product({huge, 1}) == huge);
  CHECK(size_product({huge, 2}) == std::nullopt);
  CHECK(size_product({huge + 16, 4}) == std::nullopt);
  CHECK(size_product({huge, 2, 0}) == 0);
  CHECK(size_product({0, huge, huge}) == 0);
  CHECK(size_product({-1}) == std::nullopt);
  CHECK(size_product({0, -1}) == std::nullopt);
  CHECK(size_product({index_t{1} << 31, index_t{1} << 31}) == huge);
  CHECK(size_product({index_t{1} << 32, index_t{1} << 31}) == std::nullopt);
  CHECK_ERROR(sbora::shape_error, "here: 4611686018427387904 x 4 is no size that memory can have",
              sbora::detail::require_product("here", {huge, 4}));
}

TEST_CASE("a tensor of a shape that the format allows has no elements, whatever its other dimensions") {
  const sbora::tensor_view tensor = {"t", sbora::dtype::f32, {huge, 2, 0}, {}};
  CHECK(tensor.elements() == 0);
  const std::string header = sbora::safetensors_header({&tensor, 1});
  const auto file = sbora::safetensors_file::from_memory(std::as_bytes(std::span(header)));
  CHECK(file.at("t").elements() == 0);
  const sbora::tensor_view wrong = {"t", sbora::dtype::f32, {huge, 2}, {}};
  CHECK_ERROR(sbora::shape_error, "tensor 't' has shape [4611686018427387904, 2]", wrong.elements());
  CHECK_ERROR(sbora::format_error, "validation overflow: tensor 't'", sbora::safetensors_header({&wrong, 1}));
}

TEST_CASE("a d_in that only the config says is refused where no weight can have it, and never allocated") {
  const temporary_directory directory;
  for (const char* const d_in : {"4611686018427387920", "1099511627776", "2147483648"}) {  // 2^62 + 16, 2^40, 2^31
    write_adapter_of(directory / "in", d_in, {1000, 1, 2, 3});
    CHECK_ERROR(sbora::checkpoint_error,
                "sbora.modules[0]: 'm.q' is 2 x " + std::string(d_in) + ", expected sizes up to 2147483647",
                sbora::load_adapter(directory / "in"));
  }
  // Largest that is read: a one-hot half of 32 GiB, on disk if there is room, never in memory.
  write_adapter_of(directory / "in", "2147483647", {2147483646, 1, 2, 3});
  const auto loaded = sbora::load_adapter(directory / "in");
  const sbora::detail::peft_lora_tensors<float> tensors(loaded.adapter);
  CHECK(tensors.tensors()[0].shape == std::vector<index_t>{4, 2147483647});
  // Beyond 64 GiB nothing is written.
  adapter_by_hand()
      .config(R"({"peft_type": "SBORA", "adapter_name": "sbora_fb", "r": 9, "lora_alpha": 4, "target_modules": ["q"],
                  "sbora": {"version": "0.1.0", "modules": [{"name": "m.q", "d_out": 2147483647, "d_in": 1}]}})")
      .tensor<std::int64_t>("base_model.model.m.q.lora_B", {9}, {0, 1, 2, 3, 4, 5, 6, 7, 8})
      .tensor<float>("base_model.model.m.q.lora_A.weight", {9, 1}, {1, 2, 3, 4, 5, 6, 7, 8, 9})
      .write(directory / "large");
  const auto large = sbora::load_adapter(directory / "large");
  CHECK_ERROR(sbora::config_error, "'m.q' (rank 9 of 2147483647) take more than 68719476736 bytes",
              save_peft_lora(large.adapter, directory / "out" / "deeper"));
  CHECK_FALSE(std::filesystem::exists(directory / "out"));
}

TEST_CASE("a LoRA's one-hot half is written in pieces: the same bytes, and a MiB of memory") {
  const temporary_directory directory;
  const index_t d_in = 6'000'000;
  write_adapter_of(directory / "in", std::to_string(d_in), {d_in - 1, 7, 0, 262144});
  const auto loaded = sbora::load_adapter(directory / "in");
  const sbora::detail::peft_lora_tensors<float> tensors(loaded.adapter);
  std::size_t largest = 0, bytes = 0;
  tensors.write("base_model.model.m.q.lora_A.weight", [&](std::span<const std::byte> piece) {
    largest = std::max(largest, piece.size());
    bytes += piece.size();
  });
  CHECK(largest <= (std::size_t{1} << 20));
  CHECK(bytes == static_cast<std::size_t>(16 * d_in));
  save_peft_lora(loaded.adapter, directory / "out");
  const auto file = sbora::open_adapter_tensors(directory / "out");
  const auto a = file.at("base_model.model.m.q.lora_A.weight").as_matrix<float>();
  REQUIRE(a.rows() == 4);
  REQUIRE(a.cols() == d_in);
  CHECK(a.sum() == 4);
  CHECK((a(0, d_in - 1) == 1 && a(1, 7) == 1 && a(2, 0) == 1 && a(3, 262144) == 1));
  CHECK(same_adapter(loaded.adapter, sbora::load_adapter(directory / "out").adapter));
}

TEST_CASE("a rank that only the config says is counted or refused") {
  sbora::adapter_config config;
  config.kind = sbora::adapter_kind::fa;
  config.r = huge;
  config.target_modules.names = {"q"};
  const std::vector<sbora::model_module> modules = {{"q", 8, 8}};
  CHECK_ERROR(sbora::shape_error, "module 'q' of 8 x 8 and rank 4611686018427387904",
              sbora::trainable_parameters(config, modules));
}

TEST_CASE("sizes from callers: views, adapters and models whose product can't be are refused") {
  float value = 0;
  CHECK_ERROR(sbora::shape_error, "4611686018427387904 x 4", sbora::weight_view<float>(&value, huge, 4));
  CHECK_ERROR(sbora::shape_error, "4 x 4611686018427387904", sbora::weight_view<float>(&value, 4, 2, huge));
  CHECK_ERROR(sbora::shape_error, "more parameters than can be counted",
              sbora::fa_adapter<float>(huge, 8, sbora::region(8, {0, 1, 2, 3})));
  std::vector<float> w(8 * 4);
  const sbora::linear layer{sbora::weight_view<float>(w.data(), 8, 4)};
  CHECK_ERROR(sbora::shape_error, "4611686018427387904 x ", static_cast<void>(layer.workspace_bytes(huge)));
  std::vector<sbora::adapter_part> parts;
  for (int i = 0; i < 3; ++i) {
    parts.push_back({"m" + std::to_string(i), huge, 8, sbora::region(8, {0}), 1.0});
  }
  CHECK_ERROR(sbora::shape_error, "more parameters than can be counted",
              sbora::model_adapter<float>(sbora::adapter_kind::fa, {}, std::move(parts)));
}

TEST_CASE("every text has a limit, and says it") {
  const temporary_directory directory;
  write_adapter_of(directory / "in", "2000", {1000, 1, 2, 3});
  const auto config = directory / "in" / "adapter_config.json";
  const std::string small = read_file(config);
  write_file(config, small + std::string(17 << 20, ' '));
  CHECK_ERROR(sbora::format_error, "bytes, expected up to 16777216", sbora::load_adapter(directory / "in"));
  CHECK_ERROR(sbora::format_error, "bytes, expected up to 16777216",
              sbora::parse_adapter_config(small + std::string(17 << 20, ' ')));
  // The copy in the metadata of the tensors, which may be larger than any config.
  sbora::write_safetensors(directory / "in" / "adapter_model.safetensors", {},
                           {{"sbora_config", small + std::string(17 << 20, ' ')}});
  write_file(config, small);
  CHECK_ERROR(sbora::format_error, "bytes, expected up to 16777216", sbora::load_adapter(directory / "in"));

  std::filesystem::create_directories(directory / "model");
  const auto index = directory / "model" / "model.safetensors.index.json";
  write_file(index, "{\"weight_map\": {}}");
  std::filesystem::resize_file(index, 100'000'001);
  CHECK_ERROR(sbora::format_error, "100000001 bytes, expected up to 100000000", sbora::checkpoint::open(index));

  const std::vector<std::uint8_t> state(70'000, ' ');
  const std::vector<std::uint8_t> codes(32);
  const std::vector<sbora::tensor_view> tensors = {
      {"q.weight", sbora::dtype::u8, {32, 1}, std::as_bytes(std::span(codes))},
      {"q.weight.quant_state.bitsandbytes__nf4", sbora::dtype::u8, {70'000}, std::as_bytes(std::span(state))}};
  CHECK_ERROR(sbora::checkpoint_error, "70000 bytes, expected up to 65536",
              static_cast<void>(sbora::bitsandbytes_weights{tensors}));

  const std::string name(2000, 'n');
  CHECK_ERROR(sbora::checkpoint_error, "sbora.modules[0]: a name of 2000 bytes, expected up to 1024",
              sbora::parse_adapter_config(R"({"peft_type": "SBORA", "sbora": {"modules": [{"name": ")" + name +
                                          R"(", "d_out": 1, "d_in": 1}]}})"));
}

TEST_CASE("messages about long texts are short") {
  const std::string long_name(1'000'000, 'x');
  const auto short_message = [](auto&& f) { CHECK(message_of<sbora::error>(f).size() < 1000); };
  short_message([&] { sbora::parse_adapter_config("{\"" + long_name + "\": 1, \"" + long_name + "\": 2}"); });
  short_message([&] { sbora::parse_adapter_config("{\"r\": \"" + long_name); });
  const auto header = [](const std::string& json) {
    std::string file(8, '\0');
    const std::uint64_t length = json.size();
    std::memcpy(file.data(), &length, 8);
    file += json;
    sbora::safetensors_file::from_memory(std::as_bytes(std::span(file)));
  };
  short_message([&] { header("{\"" + long_name + "\": 1}"); });
  short_message([&] { header("{\"" + long_name + "\": {\"dtype\": \"" + long_name + "\"}}"); });
}

TEST_CASE("the first of a pattern's keys counts, written and read") {
  sbora::adapter_config config;
  config.rank_pattern = {{"q", 3}, {"v", 36028793509481983}, {"q", 7}};  // no double is the second
  const auto read = sbora::parse_adapter_config(adapter_config_text(config)).config;
  CHECK(read.rank_pattern == std::vector<sbora::module_pattern<index_t>>{{"q", 3}, {"v", 36028793509481983}});
}

TEST_CASE("JSON of many keys, list entries or levels is read in one pass") {
  // A pass for each entry would be 10^10 comparisons.
  std::string text = R"({"peft_type": "LORA", "rank_pattern": {)";
  for (int i = 0; i < 100'000; ++i) text += (i == 0 ? "\"k" : ",\"k") + std::to_string(i) + "\":1";
  text += "}";
  for (int i = 0; i < 100'000; ++i) text += ",\"u" + std::to_string(i) + "\":[]";
  text += "}";
  const auto read = sbora::parse_adapter_config(text);
  CHECK(read.config.rank_pattern.size() == 100'000);
  CHECK(read.skipped.size() == 100'000);
  CHECK(sbora::parse_adapter_config(adapter_config_text(read.config)).config == read.config);
}

TEST_CASE("lists of names are looked up as if each were tried") {
  sbora::random_stream random(3);
  const auto any_name = [&](index_t longest) {
    std::string name;
    for (index_t i = random.below(longest + 1); i > 0; --i) name += "ab.."[random.below(3)];
    return name;
  };
  int found = 0;
  for (int round = 0; round < 300; ++round) {
    std::vector<std::string> names;
    for (index_t i = random.below(12); i > 0; --i) names.push_back(any_name(6));
    const sbora::detail::text_endings endings(names);
    const sbora::detail::name_suffixes suffixes(names);
    sbora::adapter_config config;
    for (const std::string& name : names) {
      const auto value = static_cast<index_t>(config.rank_pattern.size() + 10);
      const bool plain = random.below(4) != 0;  // or a regular expression for the same
      config.rank_pattern.emplace_back(sbora::detail::escaped_regex(name) + (plain ? "" : "(?:)"), value);
    }
    const sbora::target_rules rules(config);
    for (int i = 0; i < 20; ++i) {
      const std::string text = any_name(9);
      CHECK(endings.of(text) ==
            std::any_of(names.begin(), names.end(), [&](const auto& name) { return text.ends_with(name); }));
      index_t rank = config.r;
      bool is_suffix = false;
      for (std::size_t k = names.size(); k-- > 0;) {
        if (!sbora::detail::is_name_or_suffix(text, names[k])) continue;
        rank = static_cast<index_t>(k + 10);
        is_suffix = true;
      }
      found += is_suffix ? 1 : 0;
      CHECK(suffixes.of(text) == is_suffix);
      CHECK(rules.rank_of(text) == rank);
    }
  }
  CHECK(found > 500);
}

TEST_CASE("an adapter of many modules with a rank each is read and written in one pass") {
  // A regular expression for each module and each pattern would be 25 million searches.
  std::vector<sbora::adapter_part> parts;
  for (int i = 0; i < 5'000; ++i) {
    parts.push_back({"m." + std::to_string(i) + ".q", 2, 3,
                     sbora::region(3, i % 2 == 0 ? std::vector<index_t>{1} : std::vector<index_t>{0, 2}), 1.0 + i % 3});
  }
  const sbora::model_adapter<float> adapter(sbora::adapter_kind::fb, {}, [&] {
    for (sbora::adapter_part& part : parts) std::swap(part.d_out, part.d_in);
    return parts;
  }());
  const temporary_directory directory;
  save_sbora(adapter, directory / "native");
  save_peft_lora(adapter, directory / "peft");
  CHECK(same_adapter(adapter, sbora::load_adapter(directory / "native").adapter));
  CHECK(sbora::load_adapter(directory / "peft").adapter.size() == 5'000);
}

TEST_CASE("more regular expressions under one key than are tried for each module are refused") {
  sbora::adapter_config config;
  for (int i = 0; i < 4097; ++i) config.alpha_pattern.emplace_back("a.*" + std::to_string(i), 2.0);
  CHECK_ERROR(sbora::config_error, "alpha_pattern has more than 4096 regular expressions",
              static_cast<void>(sbora::target_rules(config)));
}

TEST_CASE("a choice of modules that can't be used isn't kept by an adapter that was read without it") {
  const temporary_directory directory;
  write_adapter_of(directory / "in", "2000", {1000, 1, 2, 3});
  const auto path = directory / "in" / "adapter_config.json";
  std::string text = read_file(path);
  text.replace(text.find("[\"q\"]"), 5, "\"q(\"");
  write_file(path, text);
  CHECK_ERROR(sbora::checkpoint_error, "target_modules: 'q(' is no usable regular expression",
              sbora::load_adapter(directory / "in"));
  const auto loaded = sbora::load_adapter(directory / "in", {}, sbora::strictness::lenient);
  save_peft_lora(loaded.adapter, directory / "peft");
  save_sbora(loaded.adapter, directory / "native");
  for (const char* name : {"peft", "native"}) {
    CHECK(same_adapter(loaded.adapter, sbora::load_adapter(directory / name).adapter));
  }
}
