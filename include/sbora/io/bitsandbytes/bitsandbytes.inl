#pragma once

#include <algorithm>
#include <map>

#include <sbora/io/bitsandbytes/bitsandbytes.hpp>
#include <sbora/io/bitsandbytes/quant_state.hpp>
#include <sbora/io/bitsandbytes/quantised_names.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// Scales that don't lie at a multiple of 4 bytes, copied to where they do.
using shared_floats = std::vector<std::shared_ptr<const std::vector<float>>>;

/// The tensors of one quantised weight: its codes, and the others by what follows its name (of int8, its module's).
using quantised_parts = std::map<std::string, const tensor_view*, std::less<>>;

/// Reads tensors that have to be there. What is wrong becomes a problem, and what is returned is then empty.
class part_reader {
 public:
  part_reader(const std::string& weight, const quantised_parts& parts, problem_list& problems, shared_floats& copies)
      : weight_(weight), parts_(parts), problems_(problems), copies_(copies) {}

  void wrong(const std::string& what) {
    problems_.add(weight_ + ": " + what);
    failed_ = true;
  }
  bool failed() const noexcept { return failed_; }

  const tensor_view* find(std::string_view part) {
    const auto found = parts_.find(part);
    if (found != parts_.end()) return found->second;
    wrong(std::string(part) + " is missing");
    return nullptr;
  }

  template <class Scalar>
  std::span<const Scalar> read(std::string_view part) {
    const tensor_view* const tensor = find(part);
    if (tensor == nullptr) return {};
    if (tensor->type != dtype_of<Scalar>) {
      wrong(std::string(part) + " is " + to_string(tensor->type) + ", expected " + to_string(dtype_of<Scalar>));
      return {};
    }
    if constexpr (std::is_same_v<Scalar, float>) {
      if (!tensor->is_aligned<float>()) {
        return *copies_.emplace_back(std::make_shared<const std::vector<float>>(tensor->copy<float>()));
      }
    }
    return tensor->values<Scalar>();
  }

 private:
  const std::string& weight_;
  const quantised_parts& parts_;
  problem_list& problems_;
  shared_floats& copies_;
  bool failed_ = false;
};

inline std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

inline bool is_int8_part(std::string_view name, std::string_view part) {
  return name == part || (name.ends_with(part) && name[name.size() - part.size() - 1] == '.');
}
inline std::string without(const std::string& name, std::string_view end) {
  return name.substr(0, name.size() - end.size());
}

template <class Entry>
auto find_entry(const std::vector<Entry>& all, std::string_view name) noexcept -> decltype(&all.front().weight) {
  const auto at = std::lower_bound(all.begin(), all.end(), name,
                                   [](const Entry& entry, std::string_view key) { return entry.name < key; });
  return at != all.end() && at->name == name ? &at->weight : nullptr;
}

/// Adds what make() gives, whose errors become problems.
template <class Entry, class Make>
void add_entry(std::vector<Entry>& to, part_reader& from, Make&& make) {
  if (from.failed()) return;
  try {
    to.push_back(make());
  } catch (const error& refused) {  // quantization_error, shape_error
    from.wrong(refused.what());
  }
}

inline void read_four_bit(const std::string& name, const quantised_parts& parts, problem_list& problems,
                          shared_floats& copies, std::vector<bitsandbytes_weights::four_bit_entry>& to) {
  part_reader from(name, parts, problems, copies);
  const bool is_nf4 = parts.contains(".quant_state.bitsandbytes__nf4");
  if (is_nf4 && parts.contains(".quant_state.bitsandbytes__fp4")) return from.wrong("has states of nf4 and fp4");
  const four_bit_type type =
      is_nf4 || !parts.contains(".quant_state.bitsandbytes__fp4") ? four_bit_type::nf4 : four_bit_type::fp4;
  const std::string key = std::string(quant_state_infix) + to_string(type);
  const auto text = from.read<std::uint8_t>(key);
  if (from.failed()) return;
  const std::size_t problems_before = problems.size();
  const auto parsed = parse_quant_state(text_of(std::as_bytes(text)), type, name + key + ": ", problems);
  if (!parsed) return;
  const quant_state& state = *parsed;
  const tensor_view* const codes = from.find("codes");
  const auto map = from.read<float>(".quant_map");
  const auto& book = codebook_of(type).value;
  if (!map.empty() && !std::equal(map.begin(), map.end(), book.begin(), book.end())) {
    from.wrong(std::string(".quant_map isn't the code book of ") + to_string(type));
  }
  four_bit_scales scales = {.blocksize = state.blocksize};
  if (state.nested_offset) {
    scales.absmax_codes = from.read<std::uint8_t>(".absmax");
    scales.nested_absmax = from.read<float>(".nested_absmax");
    scales.nested_table = from.read<float>(".nested_quant_map");
    scales.nested_offset = static_cast<float>(*state.nested_offset);
  } else {
    scales.absmax = from.read<float>(".absmax");
    for (const char* const part : {".nested_absmax", ".nested_quant_map"}) {
      if (parts.contains(part)) from.wrong(std::string(part) + " is there, and the state isn't nested");
    }
  }
  if (problems.size() != problems_before) return;
  const auto bytes = std::span(reinterpret_cast<const std::uint8_t*>(codes->data.data()), codes->data.size());
  add_entry(to, from, [&] {
    return bitsandbytes_weights::four_bit_entry{name, four_bit_view(type, bytes, state.d_out, state.d_in, scales),
                                                state.original, state.experts};
  });
}

inline void read_int8(const std::string& name, const quantised_parts& parts, problem_list& problems,
                      shared_floats& copies, std::vector<bitsandbytes_weights::int8_entry>& to) {
  part_reader from(name, parts, problems, copies);
  const auto codes = from.read<std::int8_t>("codes");
  const auto absmax = from.read<float>("SCB");
  if (parts.contains("weight_format")) {  // checkpoints of old don't have it
    const auto format = from.read<std::uint8_t>("weight_format");
    if (!from.failed() && (format.size() != 1 || format[0] != 0)) from.wrong("weight_format isn't 0, by rows");
  }
  if (from.failed()) return;
  const auto& shape = parts.find("codes")->second->shape;
  if (shape.size() != 2) return from.wrong("has shape " + shape_text(shape) + ", expected two dimensions");
  add_entry(to, from, [&] {
    return bitsandbytes_weights::int8_entry{name, int8_view(codes, absmax, shape[0], shape[1])};
  });
}

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

SBORA_INSTANCE_OF bitsandbytes_weights::bitsandbytes_weights(std::span<const tensor_view> tensors) {
  std::map<std::string, detail::quantised_parts> four_bit, int8;
  for (const tensor_view& tensor : tensors) {
    for (const std::string_view part : detail::four_bit_parts) {
      if (tensor.name.ends_with(part)) four_bit[detail::without(tensor.name, part)][std::string(part)] = &tensor;
    }
    for (const std::string_view part : detail::int8_parts) {
      if (detail::is_int8_part(tensor.name, part))
        int8[detail::without(tensor.name, part) + "weight"][std::string(part)] = &tensor;
    }
  }
  detail::problem_list problems;
  for (const tensor_view& tensor : tensors) {
    for (auto* const found : {&four_bit, &int8}) {
      if (const auto at = found->find(tensor.name); at != found->end()) at->second["codes"] = &tensor;
    }
  }
  for (const auto& [name, parts] : four_bit) {
    if (int8.contains(name)) problems.add(name + ": has states of 4 bits and of int8");
    detail::read_four_bit(name, parts, problems, copies_, four_bit_);
  }
  for (const auto& [name, parts] : int8) detail::read_int8(name, parts, problems, copies_, int8_);
  problems.throw_if_any("the checkpoint's quantised weights are not as bitsandbytes writes them",
                        "download or save it again");
}

SBORA_INSTANCE_OF bool bitsandbytes_weights::is_part_of_weight(std::string_view name) const {
  for (const std::string_view part : detail::four_bit_parts) {
    if (name.ends_with(part) && find_four_bit(detail::without(std::string(name), part)) != nullptr) return true;
  }
  for (const std::string_view part : detail::int8_parts) {
    if (detail::is_int8_part(name, part) && find_int8(detail::without(std::string(name), part) + "weight") != nullptr)
      return true;
  }
  return false;
}

SBORA_INSTANCE_OF const four_bit_view* bitsandbytes_weights::find_four_bit(std::string_view name) const& noexcept {
  return detail::find_entry(four_bit_, name);
}

SBORA_INSTANCE_OF const int8_view* bitsandbytes_weights::find_int8(std::string_view name) const& noexcept {
  return detail::find_entry(int8_, name);
}

}  // namespace sbora::inline SBORA_ABI
