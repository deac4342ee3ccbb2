#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <sbora/io/json_text.hpp>
#include <sbora/io/tensor.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// A tensor as its header describes it, before anything is believed.
struct tensor_entry {
  std::string name;
  dtype type = dtype::f32;
  std::vector<std::uint64_t> shape;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

/// Bits of a tensor by its shape and dtype, by the reference implementation's rule; nothing where that calls it too
/// large or an index_t doesn't hold a dimension. Readers and writers refuse the same.
template <class Size>
std::optional<std::uint64_t> bits_of_shape(const std::vector<Size>& shape, dtype type) noexcept {
  constexpr auto most = static_cast<std::uint64_t>(std::numeric_limits<index_t>::max());
  std::uint64_t bits = 1;
  for (const Size size : shape) {  // a negative size is above `most`
    const auto factor = static_cast<std::uint64_t>(size);
    if (factor > most || __builtin_mul_overflow(bits, factor, &bits)) return std::nullopt;
  }
  if (__builtin_mul_overflow(bits, static_cast<std::uint64_t>(bits_of(type)), &bits)) return std::nullopt;
  return bits;
}

/// Reads the JSON of a header as its parser goes over it, so that nothing but its tensors and its metadata is
/// ever built: nlohmann_json's SAX interface.
class header_parser {
 public:
  explicit header_parser(std::filesystem::path path) : path_(std::move(path)) {}

  std::vector<tensor_entry> tensors;  ///< in the header's order
  std::map<std::string, std::string> metadata;

  void parse(std::string_view text) {
    if (const std::string found = no_json(text); !found.empty()) refuse(found);
    ordered_json::sax_parse(text.begin(), text.end(), this);
  }

  // What the parser calls. True: go on.
  bool null() {
    if (state_ != state::metadata_value) return value("null");
    state_ = state::name;  // as the reference reads it
    return true;
  }

  bool boolean(bool) { return value("a boolean"); }
  bool number_integer(std::int64_t) { return value("a negative number"); }
  bool number_float(double, const std::string&) { return value("a number that is no integer"); }
  bool binary(ordered_json::binary_t&) { return value("binary"); }

  bool number_unsigned(std::uint64_t number) {
    if (state_ == state::shape_item) {
      tensors.back().shape.push_back(number);
      return true;
    }
    if (state_ != state::offsets_item) return value("a number");
    if (offsets_ == 2) refuse(of_tensor() + ": more than two data_offsets");
    (offsets_++ == 0 ? tensors.back().begin : tensors.back().end) = number;
    return true;
  }

  bool string(std::string& text) {
    if (state_ == state::metadata_string) {
      metadata_key_->second = std::move(text);
      state_ = state::metadata_key;
      return true;
    }
    if (state_ != state::dtype_value) return value("a string");
    const auto type = parse_dtype(text);
    if (!type) refuse(of_tensor() + ": no dtype is called '" + shortened(text) + "'");
    tensors.back().type = *type;
    state_ = state::field;
    return true;
  }

  bool start_object(std::size_t) {
    deeper();
    switch (state_) {
      case state::start: state_ = state::name; break;
      case state::tensor_value:
        state_ = state::field;
        has_dtype_ = has_shape_ = has_offsets_ = false;
        break;
      case state::metadata_value: state_ = state::metadata_key; break;
      default: return nested();
    }
    return true;
  }

  bool key(std::string& text) {
    switch (state_) {
      case state::name:
        if (text == "__metadata__") {
          if (std::exchange(has_metadata_, true)) throw twice(text);
          state_ = state::metadata_value;
        } else {
          tensors.push_back({std::move(text), {}, {}, 0, 0});
          state_ = state::tensor_value;
        }
        break;
      case state::metadata_key: {
        const auto [at, added] = metadata.emplace(std::move(text), std::string());
        if (!added) throw twice(at->first);
        metadata_key_ = at;
        state_ = state::metadata_string;
        break;
      }
      case state::field:
        if (text == "dtype") {
          field(has_dtype_, text, state::dtype_value);
        } else if (text == "shape") {
          field(has_shape_, text, state::shape_value);
        } else if (text == "data_offsets") {
          field(has_offsets_, text, state::offsets_value);
        } else {
          state_ = state::ignored;  // of a later version, as the reference reads it
        }
        break;
      default: break;  // inside of what is ignored
    }
    return true;
  }

  bool end_object() {
    --depth_;
    switch (state_) {
      case state::name: state_ = state::end; break;
      case state::metadata_key: state_ = state::name; break;
      case state::field:
        if (!has_dtype_) refuse(of_tensor() + " has no dtype");
        if (!has_shape_) refuse(of_tensor() + " has no shape");
        if (!has_offsets_) refuse(of_tensor() + " has no data_offsets");
        state_ = state::name;
        break;
      default: leave(); break;
    }
    return true;
  }

  bool start_array(std::size_t) {
    deeper();
    switch (state_) {
      case state::shape_value: state_ = state::shape_item; break;
      case state::offsets_value:
        state_ = state::offsets_item;
        offsets_ = 0;
        break;
      default: return nested();
    }
    return true;
  }

  bool end_array() {
    --depth_;
    switch (state_) {
      case state::offsets_item:
        if (offsets_ != 2) refuse(of_tensor() + ": fewer than two data_offsets");
        state_ = state::field;
        break;
      case state::shape_item: state_ = state::field; break;
      default: leave(); break;
    }
    return true;
  }

  bool parse_error(std::size_t, const std::string&, const nlohmann::json::exception& problem) {
    refuse(without_json_code(problem.what()));
  }

 private:
  /// What comes next; `ignored` is the value of a field that we don't know, of any form.
  enum class state {
    start,
    name,
    end,
    metadata_value,
    metadata_key,
    metadata_string,
    tensor_value,
    field,
    dtype_value,
    shape_value,
    shape_item,
    offsets_value,
    offsets_item,
    ignored
  };

  [[noreturn]] void refuse(const std::string& what) const {
    throw format_error(format_fault::invalid_header_deserialization, path_, shortened(what, 400));
  }

  format_error twice(const std::string& name) const {
    return {format_fault::duplicate_name, path_, "'" + shortened(name) + "'"};
  }

  std::string of_tensor() const { return "tensor '" + shortened(tensors.back().name) + "'"; }

  std::string expected() const {
    switch (state_) {
      case state::metadata_value: return "__metadata__ has to be an object";
      case state::metadata_string: return "__metadata__: '" + shortened(metadata_key_->first) + "' has to be a string";
      case state::tensor_value: return of_tensor() + " has to be an object";
      case state::dtype_value: return of_tensor() + ": dtype has to be a string";
      case state::shape_value: return of_tensor() + ": shape has to be an array";
      case state::shape_item: return of_tensor() + ": shape has to hold non-negative integers";
      case state::offsets_value: return of_tensor() + ": data_offsets has to be an array";
      case state::offsets_item: return of_tensor() + ": data_offsets has to hold non-negative integers";
      default: return "the header has to be an object";
    }
  }

  /// A value without inside that only an unknown field may have.
  bool value(const char* what) {
    if (state_ != state::ignored) refuse(expected() + ", not " + what);
    if (ignored_ == 0) state_ = state::field;
    return true;
  }

  bool nested() {
    if (state_ != state::ignored) refuse(expected());
    ++ignored_;
    return true;
  }

  void leave() {
    if (--ignored_ == 0) state_ = state::field;
  }

  void deeper() {
    if (++depth_ > deepest_json) refuse("deeper than " + std::to_string(deepest_json) + " levels");
  }

  void field(bool& has, const std::string& name, state next) {
    if (std::exchange(has, true)) refuse(of_tensor() + " has two of " + name);
    state_ = next;
  }

  std::filesystem::path path_;
  std::map<std::string, std::string>::iterator metadata_key_;
  state state_ = state::start;
  int depth_ = 0;
  int ignored_ = 0;  // arrays and objects that are open inside of what is ignored
  int offsets_ = 0;
  bool has_metadata_ = false;
  bool has_dtype_ = false;
  bool has_shape_ = false;
  bool has_offsets_ = false;
};

}  // namespace sbora::inline SBORA_ABI::detail
