#pragma once

#include <algorithm>
#include <map>
#include <memory>

#include <sbora/io/bitsandbytes/quant_state.hpp>
#include <sbora/io/bitsandbytes/quantised_names.hpp>
#include <sbora/io/tensor.hpp>
#include <sbora/weights/int8_view.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// The tensors of one quantised weight: its codes, and the others by what follows its name (of int8, its module's).
using quantised_parts = std::map<std::string, const tensor_view*, std::less<>>;

/// Reads tensors that have to be there. What is wrong becomes a problem, and what is returned is then empty.
class part_reader {
 public:
  part_reader(const std::string& weight, const quantised_parts& parts, problem_list& problems,
              std::vector<std::shared_ptr<const std::vector<float>>>& copies)
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
  std::vector<std::shared_ptr<const std::vector<float>>>& copies_;
  bool failed_ = false;
};

inline std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

/// The quantised weights of a bitsandbytes checkpoint, in place: 4 bits (NF4 and FP4, with nested scales or without)
/// and LLM.int8.
///
/// Effect      four_bit() and int8() have a view of every weight that has a quantisation state beside it, under the
///             weight's name, such as "model.layers.0.mlp.up_proj.weight". Other tensors are left alone.
/// Requires    every state whole and of one kind, sizes that fit, finite scales, and the code book that kernels have
///             (checkpoints bring one along); int8 by rows. Codes of 4 bits may be stored as any dtype
///             (quant_storage): their bytes count.
/// Lifetime    views point to the tensors' memory, which has to outlive them, and to this or a copy of it.
/// Cost        one pass over names and scales. Copies nothing but scales that don't lie at a multiple of 4 bytes.
/// Thread      immutable.
/// Errors      checkpoint_error with everything that is wrong, of all weights.
/// Source      bitsandbytes functional.py QuantState, nn/modules.py Linear4bit and Linear8bitLt.
class bitsandbytes_weights {
 public:
  struct four_bit_entry {
    std::string name;
    four_bit_view weight;
    dtype original;  ///< what was quantised
  };
  struct int8_entry {
    std::string name;
    int8_view weight;
  };

  /// tensors: of a safetensors_file or a checkpoint.
  explicit bitsandbytes_weights(std::span<const tensor_view> tensors) {
    std::map<std::string, detail::quantised_parts> four_bit, int8;
    for (const tensor_view& tensor : tensors) {
      for (const std::string_view part : detail::four_bit_parts) {
        if (tensor.name.ends_with(part)) four_bit[without(tensor.name, part)][std::string(part)] = &tensor;
      }
      for (const std::string_view part : detail::int8_parts) {
        if (is_part(tensor.name, part)) int8[without(tensor.name, part) + "weight"][std::string(part)] = &tensor;
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
      read_four_bit(name, parts, problems);
    }
    for (const auto& [name, parts] : int8) read_int8(name, parts, problems);
    problems.throw_if_any("the checkpoint's quantised weights are not as bitsandbytes writes them");
  }

  /// In the order of their names.
  std::span<const four_bit_entry> four_bit() const& noexcept { return four_bit_; }
  std::span<const four_bit_entry> four_bit() const&& = delete;  // would dangle: name the object
  std::span<const int8_entry> int8() const& noexcept { return int8_; }
  std::span<const int8_entry> int8() const&& = delete;  // would dangle: name the object

  /// Whether a tensor is the scales or another part of one of these weights, and not its codes.
  bool is_part_of_weight(std::string_view name) const {
    for (const std::string_view part : detail::four_bit_parts) {
      if (name.ends_with(part) && find_four_bit(without(std::string(name), part)) != nullptr) return true;
    }
    for (const std::string_view part : detail::int8_parts) {
      if (is_part(name, part) && find_int8(without(std::string(name), part) + "weight") != nullptr) return true;
    }
    return false;
  }

  /// Null where there is none of that name.
  const four_bit_view* find_four_bit(std::string_view name) const& noexcept { return find(four_bit_, name); }
  const four_bit_view* find_four_bit(std::string_view name) const&& = delete;  // would dangle: name the object
  const int8_view* find_int8(std::string_view name) const& noexcept { return find(int8_, name); }
  const int8_view* find_int8(std::string_view name) const&& = delete;  // would dangle: name the object

 private:
  static bool is_part(std::string_view name, std::string_view part) {
    return name == part || (name.ends_with(part) && name[name.size() - part.size() - 1] == '.');
  }
  static std::string without(const std::string& name, std::string_view end) {
    return name.substr(0, name.size() - end.size());
  }

  template <class Entry>
  static auto find(const std::vector<Entry>& all, std::string_view name) noexcept -> decltype(&all.front().weight) {
    const auto at = std::lower_bound(all.begin(), all.end(), name,
                                     [](const Entry& entry, std::string_view key) { return entry.name < key; });
    return at != all.end() && at->name == name ? &at->weight : nullptr;
  }

  /// Adds what make() gives, whose errors become problems.
  template <class Entry, class Make>
  static void add(std::vector<Entry>& to, detail::part_reader& from, Make&& make) {
    if (from.failed()) return;
    try {
      to.push_back(make());
    } catch (const error& refused) {  // quantization_error, shape_error
      from.wrong(refused.what());
    }
  }

  void read_four_bit(const std::string& name, const detail::quantised_parts& parts, detail::problem_list& problems) {
    detail::part_reader from(name, parts, problems, copies_);
    const bool is_nf4 = parts.contains(".quant_state.bitsandbytes__nf4");
    if (is_nf4 && parts.contains(".quant_state.bitsandbytes__fp4")) return from.wrong("has states of nf4 and fp4");
    const four_bit_type type =
        is_nf4 || !parts.contains(".quant_state.bitsandbytes__fp4") ? four_bit_type::nf4 : four_bit_type::fp4;
    const std::string key = std::string(detail::quant_state_infix) + to_string(type);
    const auto text = from.read<std::uint8_t>(key);
    if (from.failed()) return;
    const std::size_t problems_before = problems.size();
    const auto parsed =
        detail::parse_quant_state(detail::text_of(std::as_bytes(text)), type, name + key + ": ", problems);
    if (!parsed) return;
    const detail::quant_state& state = *parsed;
    const tensor_view* const codes = from.find("codes");
    const auto map = from.read<float>(".quant_map");
    const auto& book = detail::codebook_of(type).value;
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
    add(four_bit_, from, [&] {
      return four_bit_entry{name, four_bit_view(type, bytes, state.d_out, state.d_in, scales), state.original};
    });
  }

  void read_int8(const std::string& name, const detail::quantised_parts& parts, detail::problem_list& problems) {
    detail::part_reader from(name, parts, problems, copies_);
    const auto codes = from.read<std::int8_t>("codes");
    const auto absmax = from.read<float>("SCB");
    if (parts.contains("weight_format")) {  // checkpoints of old don't have it
      const auto format = from.read<std::uint8_t>("weight_format");
      if (!from.failed() && (format.size() != 1 || format[0] != 0)) from.wrong("weight_format isn't 0, by rows");
    }
    if (from.failed()) return;
    const auto& shape = parts.find("codes")->second->shape;
    if (shape.size() != 2) return from.wrong("has shape " + detail::shape_text(shape) + ", expected two dimensions");
    add(int8_, from, [&] { return int8_entry{name, int8_view(codes, absmax, shape[0], shape[1])}; });
  }

  std::vector<four_bit_entry> four_bit_;
  std::vector<int8_entry> int8_;
  std::vector<std::shared_ptr<const std::vector<float>>> copies_;  // copies of this have the same views
};

}  // namespace sbora::inline SBORA_ABI
