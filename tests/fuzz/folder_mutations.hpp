#pragma once

// An adapter's folder as one input of a fuzzer, and mutations that know its form: JSON as a tree, lengths and offsets
// that are put right again.

#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t most);

namespace fuzz {

using json = nlohmann::ordered_json;
using random_source = std::minstd_rand;

/// What to do with it, and its two files.
struct folder {
  std::uint8_t command = 0;
  std::string config;
  std::string tensors;

  static folder read(const std::uint8_t* data, std::size_t size) {
    folder made;
    if (size < 4) return made;
    made.command = data[0];
    const std::size_t length = std::min<std::size_t>(data[1] + 256U * data[2], size - 3);
    made.config.assign(reinterpret_cast<const char*>(data) + 3, length);
    made.tensors.assign(reinterpret_cast<const char*>(data) + 3 + length, size - 3 - length);
    return made;
  }

  std::string bytes() const {
    std::string all(3, '\0');
    all[0] = static_cast<char>(command);
    all[1] = static_cast<char>(config.size() & 255U);
    all[2] = static_cast<char>(config.size() >> 8U);
    return all + config + tensors;
  }
};

inline std::string header_of(const std::string& tensors) {
  std::uint64_t length = 0;
  if (tensors.size() < 8) return {};
  std::memcpy(&length, tensors.data(), 8);
  return tensors.substr(8, std::min<std::uint64_t>(length, tensors.size() - 8));
}

inline std::string with_header(const std::string& header, const std::string& data) {
  const std::uint64_t length = header.size();
  std::string file(8, '\0');
  std::memcpy(file.data(), &length, 8);
  return file + header + data;
}

inline std::string mutated_bytes(std::string text, std::size_t most) {
  const std::size_t size = text.size();
  text.resize(most);
  text.resize(LLVMFuzzerMutate(reinterpret_cast<std::uint8_t*>(text.data()), size, most));
  return text;
}

inline json any_value(random_source& random) {
  switch (random() % 14) {
    case 0: return nullptr;
    case 1: return random() % 2 == 0;
    case 2: return "";
    case 3: return json::array();
    case 4: return json::object();
    case 5: return std::int64_t{-1};
    case 6: return std::uint64_t{1} << random() % 64;
    case 7: return (std::uint64_t{1} << random() % 64) + random() % 32;
    case 8: return (std::uint64_t{1} << random() % 64) - 1;
    case 9: return std::vector<double>{0.5, 1e-320, 1e39, 1e308, 1.5, 0.1}[random() % 6];
    case 10:
      return std::vector<std::string>{"F32", "F16", "BF16", "F64", "I64", "I32", "U8", "BOOL", "F4"}[random() % 9];
    case 11:
      return std::vector<std::string>{"q_proj",           "proj",     ".*",   "a{99}",  "(a|b)*",
                                      "sbora_fa",         "sbora_fb", "LORA", "SBORA",  "all-linear",
                                      "0123456789abcdef", "layers",   "^m",   "q_proj$"}[random() % 14];
    default: return static_cast<std::int64_t>(random() % 10);
  }
}

/// All values in a tree, each with what holds it and its place there.
struct place {
  json* parent;
  std::size_t index;
};
inline void list_places(json& value, std::vector<place>& found) {
  if (!value.is_structured()) return;
  for (std::size_t i = 0; i < value.size(); ++i) {
    found.push_back({&value, i});
    list_places(*std::next(value.begin(), static_cast<std::ptrdiff_t>(i)), found);
  }
}

inline void mutate_tree(json& tree, random_source& random, const json& other) {
  std::vector<place> places;
  list_places(tree, places);
  if (places.empty()) {
    tree = other;
    return;
  }
  const place at = places[random() % places.size()];
  const auto here = std::next(at.parent->begin(), static_cast<std::ptrdiff_t>(at.index));
  const json any = any_value(random);
  switch (random() % 8) {
    case 0: at.parent->erase(here); break;
    case 1:
      if (at.parent->is_array()) {
        const json copy = *here;
        at.parent->push_back(copy);
      } else {
        const json copy = *here;
        (*at.parent)[any.is_string() ? any.get<std::string>() : std::to_string(random() % 10)] = copy;
      }
      break;
    case 2: {  // a value from elsewhere in it
      const place from = places[random() % places.size()];
      const json copy = *std::next(from.parent->begin(), static_cast<std::ptrdiff_t>(from.index));
      if (copy.size() < 8) *here = copy;
      break;
    }
    case 3:
      if (here->is_number_integer()) *here = here->get<std::uint64_t>() + (random() % 2 == 0 ? 1U : ~std::uint64_t{0});
      else *here = any;
      break;
    case 4:
      if (here->is_string())
        *here = mutated_bytes(here->get<std::string>(), here->get_ref<const std::string&>().size() + 16);
      else *here = any;
      break;
    case 5: {  // the same key's value of another file
      if (!other.is_object() || other.empty()) break;
      const auto from = std::next(other.begin(), static_cast<std::ptrdiff_t>(random() % other.size()));
      if (tree.is_object()) tree[from.key()] = from.value();
      break;
    }
    default: *here = any; break;
  }
}

inline std::string text_of(const json& value) { return value.dump(-1, ' ', false, json::error_handler_t::replace); }

/// Offsets and data for the shapes, where those are small.
inline std::string laid_out(json header, std::string data) {
  static constexpr std::pair<const char*, std::size_t> sizes[] = {{"F32", 4}, {"F16", 2}, {"BF16", 2}, {"F64", 8},
                                                                  {"I64", 8}, {"I32", 4}, {"U8", 1},   {"BOOL", 1}};
  std::size_t end = 0;
  for (auto& [name, tensor] : header.items()) {
    if (name == "__metadata__" || !tensor.is_object() || !tensor.contains("shape") || !tensor["shape"].is_array())
      continue;
    std::size_t bytes = 0;
    for (const auto& [dtype, size] : sizes) {
      if (tensor.contains("dtype") && tensor["dtype"] == dtype) bytes = size;
    }
    for (const json& size : tensor["shape"]) {
      const std::uint64_t factor = size.is_number_unsigned() ? size.get<std::uint64_t>() : 1;
      bytes = factor > 256 ? 0 : bytes * factor;
    }
    if (bytes > 4096) continue;
    tensor["data_offsets"] = {end, end + bytes};
    end += bytes;
  }
  data.resize(std::min<std::size_t>(end, 1U << 15U), '\1');
  return with_header(text_of(header), data);
}

/// A folder to start from, its JSON parsed.
struct seed {
  folder files;
  json config;
  json header;

  explicit seed(folder from)
      : files(std::move(from)), config(json::parse(files.config)), header(json::parse(header_of(files.tensors))) {}
};

/// One of `seeds`, or `input` changed in one place or a few.
inline folder mutated(folder input, random_source& random, const std::vector<seed>& seeds) {
  const seed& other = seeds[random() % seeds.size()];
  if (input.config.empty() || random() % 64 == 0) return other.files;
  if (random() % 4 == 0) input.command = static_cast<std::uint8_t>(random());
  for (int changes = 1 + static_cast<int>(random() % 3); changes > 0; --changes) {
    const std::string header = header_of(input.tensors);
    const std::string data = input.tensors.size() < 8 ? "" : input.tensors.substr(8 + header.size());
    switch (random() % 12) {
      case 0: input.config = mutated_bytes(input.config, input.config.size() + 64); break;
      case 1: input.tensors = with_header(mutated_bytes(header, header.size() + 64), data); break;
      case 2: input.tensors = with_header(header, mutated_bytes(data, data.size() + 64)); break;
      case 3: input.tensors = mutated_bytes(input.tensors, input.tensors.size() + 64); break;
      case 4:
        if (random() % 4 == 0) input.tensors = other.files.tensors;
        else if (random() % 4 == 0) input.config = other.files.config;
        break;
      case 5:
      case 6: {
        json tensors = json::parse(header, nullptr, false);
        if (tensors.is_discarded()) break;
        mutate_tree(tensors, random, other.header);
        input.tensors = random() % 4 != 0 ? laid_out(tensors, data) : with_header(text_of(tensors), data);
        break;
      }
      case 7: {  // the config that the metadata repeats
        json tensors = json::parse(header, nullptr, false);
        if (!tensors.is_object() || !tensors.contains("__metadata__")) break;
        json& metadata = tensors["__metadata__"];
        if (!metadata.is_object() || !metadata.contains("sbora_config") || !metadata["sbora_config"].is_string()) break;
        json repeated = json::parse(metadata["sbora_config"].get<std::string>(), nullptr, false);
        if (repeated.is_discarded()) break;
        mutate_tree(repeated, random, other.config);
        metadata["sbora_config"] = text_of(repeated);
        input.tensors = with_header(text_of(tensors), data);
        break;
      }
      default: {
        json config = json::parse(input.config, nullptr, false);
        if (config.is_discarded()) break;
        mutate_tree(config, random, other.config);
        input.config = text_of(config);
        break;
      }
    }
  }
  return input;
}

}  // namespace fuzz
