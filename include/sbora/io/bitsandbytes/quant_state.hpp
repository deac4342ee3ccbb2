#pragma once

#include <charconv>
#include <cstdlib>
#include <string>

#include <sbora/io/dtype.hpp>
#include <sbora/io/json_fields.hpp>
#include <sbora/weights/four_bit_view.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// What bitsandbytes writes about a 4-bit weight, as JSON in a tensor of bytes whose name ends in
/// "quant_state.bitsandbytes__nf4" or "__fp4".
struct quant_state {
  four_bit_type type = four_bit_type::nf4;
  index_t blocksize = 64;
  dtype original = dtype::f32;  ///< what was quantised
  index_t d_out = 0, d_in = 0;
  std::optional<double> nested_offset = std::nullopt;
  index_t experts = 0;  ///< of a stack, whose rows d_out counts together; 0: a matrix
};

inline constexpr const char* quant_state_infix = ".quant_state.bitsandbytes__";

/// PyTorch's names of what is quantised.
struct torch_name {
  dtype type;
  const char* name;
};
inline constexpr torch_name torch_names[] = {
    {dtype::f32, "float32"}, {dtype::f16, "float16"}, {dtype::bf16, "bfloat16"}};

/// As Python prints a float: the fewest digits that give it back, a point or an exponent.
inline std::string python_float(double value) {
  const auto print = [&](std::chars_format format) {
    char text[32];
    return std::string(&text[0], std::to_chars(text, text + sizeof text, value, format).ptr);
  };
  const std::string scientific = print(std::chars_format::scientific);
  const int exponent = std::atoi(scientific.c_str() + scientific.find('e') + 1);
  if (exponent < -4 || exponent >= 16) return scientific;
  const std::string fixed = print(std::chars_format::fixed);
  return fixed.find('.') == std::string::npos ? fixed + ".0" : fixed;
}

/// The bytes of json.dumps.
inline std::string to_json(const quant_state& state) {
  const char* original = "";
  for (const torch_name& known : torch_names) {
    if (known.type == state.original) original = known.name;
  }
  std::string text = std::string("{\"quant_type\": \"") + to_string(state.type) +
                     "\", \"blocksize\": " + std::to_string(state.blocksize) + ", \"dtype\": \"" + original +
                     "\", \"shape\": [" + std::to_string(state.d_out) + ", " + std::to_string(state.d_in) + "]";
  if (state.nested_offset) {
    text += ", \"nested_blocksize\": " + std::to_string(nested_blocksize) +
            ", \"nested_dtype\": \"float32\", \"nested_offset\": " + python_float(*state.nested_offset);
  }
  return text + "}";
}

/// The same read back; nothing where it is no JSON object. Everything wrong with it becomes a problem, each beginning
/// with `where`.
inline std::optional<quant_state> parse_quant_state(std::string_view text, four_bit_type type, const std::string& where,
                                                    problem_list& problems) {
  quant_state state{.type = type};
  ordered_json parsed;
  try {
    parsed = parse_json(text, {}, largest_quant_state);
  } catch (const format_error& error) {
    problems.add(where + error.what());
    return std::nullopt;
  }
  if (!parsed.is_object()) {
    problems.add(where + "expected a JSON object, got " + json_fields::excerpt(parsed));
    return std::nullopt;
  }
  json_fields fields(parsed, where, problems);
  const auto required = [&](const char* key) {
    const ordered_json* const value = fields.find(key);
    if (value == nullptr) problems.add(where + key + " is missing");
    return value;
  };
  const auto expect = [&](const char* key, const char* expected) {
    const ordered_json* const value = required(key);
    if (value != nullptr && *value != expected) fields.wrong(key, expected, *value);
  };
  expect("quant_type", to_string(type));
  if (required("blocksize") != nullptr) fields.read_positive("blocksize", state.blocksize);
  if (const ordered_json* const value = required("dtype")) {
    bool known = false;
    for (const torch_name& candidate : torch_names) {
      if (*value != candidate.name) continue;
      state.original = candidate.type;
      known = true;
    }
    if (!known) fields.wrong("dtype", "float32, float16 or bfloat16", *value);
  }
  if (const ordered_json* const value = required("shape")) {
    std::vector<index_t> shape;
    for (std::size_t i = 0; value->is_array() && i < value->size() && i < 4; ++i) {
      shape.push_back(json_fields::positive_integer((*value)[i]).value_or(0));
    }
    const std::optional<index_t> rows = shape.size() == 3   ? size_product({shape[0], shape[1]})
                                        : shape.size() == 2 ? std::optional(shape[0])
                                                            : std::nullopt;
    if (rows && *rows > 0 && shape.back() > 0) {
      state.d_out = *rows;
      state.d_in = shape.back();
      state.experts = shape.size() == 3 ? shape[0] : 0;
    } else {
      fields.wrong("shape", shape.size() == 3 ? "three integers of 1 or more" : "two integers of 1 or more", *value);
    }
  }
  if (parsed.contains("nested_blocksize") || parsed.contains("nested_dtype") || parsed.contains("nested_offset")) {
    const ordered_json* const blocksize = required("nested_blocksize");
    if (blocksize != nullptr && *blocksize != nested_blocksize) fields.wrong("nested_blocksize", "256", *blocksize);
    expect("nested_dtype", "float32");
    state.nested_offset = 0;
    const ordered_json* const offset = required("nested_offset");
    if (offset != nullptr && offset->is_number()) state.nested_offset = offset->get<double>();
    else if (offset != nullptr) fields.wrong("nested_offset", "a number", *offset);
  }
  for (const std::string& key : fields.unread()) problems.add(where + key + " isn't known");
  return state;
}

}  // namespace sbora::inline SBORA_ABI::detail
