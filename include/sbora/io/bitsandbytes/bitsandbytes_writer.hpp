#pragma once

#include <deque>

#include <sbora/io/bitsandbytes/quant_state.hpp>
#include <sbora/io/tensor.hpp>
#include <sbora/weights/int8_view.hpp>

namespace sbora::inline SBORA_ABI {

/// Quantised weights as the tensors of a bitsandbytes checkpoint, for write_safetensors.
///
/// Effect      tensors() are, for every weight that was added, codes, scales, code books and state under the names
///             and in the shapes that Linear4bit and Linear8bitLt save and load.
/// Requires    different names, each once; `original`, which PyTorch dequantises to, is f32, f16 or bf16: checked.
/// Lifetime    tensors point to the memory of the views, which has to stay, and to what this object owns, the
///             states' JSON.
/// Cost        no copy of codes or scales.
/// Thread      one call at a time.
/// Errors      config_error, before anything is added.
/// Source      as bitsandbytes_weights.
class bitsandbytes_writer {
 public:
  bitsandbytes_writer() = default;
  bitsandbytes_writer(const bitsandbytes_writer&) = delete;
  bitsandbytes_writer& operator=(const bitsandbytes_writer&) = delete;

  /// name: as "model.layers.0.mlp.up_proj.weight".
  void add(const std::string& name, const four_bit_view& weight, dtype original = dtype::f32) {
    check_name(name);
    if (original != dtype::f32 && original != dtype::f16 && original != dtype::bf16) {
      throw config_error("sbora::bitsandbytes_writer: " + name + " was quantised from " + to_string(original) +
                         ", expected F32, F16 or BF16");
    }
    const four_bit_scales& scales = weight.scales();
    detail::quant_state state = {weight.type(), weight.blocksize(), original, weight.d_out(), weight.d_in(), {}};
    put<std::uint8_t>(name, weight.codes(), {size_of(weight.codes()), 1});
    put<float>(name + ".quant_map", detail::codebook_of(weight.type()).value);
    if (scales.nested()) {
      state.nested_offset = static_cast<double>(scales.nested_offset);
      put<std::uint8_t>(name + ".absmax", scales.absmax_codes);
      put<float>(name + ".nested_absmax", scales.nested_absmax);
      put<float>(name + ".nested_quant_map", scales.nested_table);
    } else {
      put<float>(name + ".absmax", scales.absmax);
    }
    const std::string& text = states_.emplace_back(detail::to_json(state));
    put<std::uint8_t>(name + detail::quant_state_infix + to_string(weight.type()),
                      {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
  }

  /// name: "weight", or ends in ".weight": the scales are the module's SCB.
  void add(const std::string& name, const int8_view& weight) {
    check_name(name);
    if (name != "weight" && !name.ends_with(".weight")) {
      throw config_error("sbora::bitsandbytes_writer: an int8 weight is called '" + name +
                         "', expected a name that ends in '.weight'");
    }
    static constexpr std::uint8_t by_rows = 0;
    const std::string module = name.substr(0, name.size() - std::string_view("weight").size());
    put<std::int8_t>(name, weight.codes(), {weight.d_out(), weight.d_in()});
    put<float>(module + "SCB", weight.absmax());
    put<std::uint8_t>(module + "weight_format", {&by_rows, 1}, {});
  }

  const std::vector<tensor_view>& tensors() const noexcept { return tensors_; }

 private:
  template <class Scalar>
  static index_t size_of(std::span<const Scalar> values) {
    return static_cast<index_t>(values.size());
  }

  void check_name(const std::string& name) const {
    for (const tensor_view& tensor : tensors_) {
      if (tensor.name == name) throw config_error("sbora::bitsandbytes_writer: '" + name + "' was added already");
    }
  }

  template <class Scalar>
  void put(std::string name, std::span<const Scalar> values) {
    put<Scalar>(std::move(name), values, {size_of(values)});
  }
  template <class Scalar>
  void put(std::string name, std::span<const Scalar> values, std::vector<index_t> shape) {
    tensors_.push_back({std::move(name), dtype_of<Scalar>, std::move(shape), std::as_bytes(values)});
  }

  std::vector<tensor_view> tensors_;
  std::deque<std::string> states_;
};

}  // namespace sbora::inline SBORA_ABI
