#pragma once

#include <sbora/io/bitsandbytes/bitsandbytes_writer.hpp>
#include <sbora/io/bitsandbytes/quant_state.hpp>

namespace sbora::inline SBORA_ABI {

template <class Scalar>
void bitsandbytes_writer::put(std::string name, std::span<const Scalar> values, std::vector<index_t> shape) {
  tensors_.push_back({std::move(name), dtype_of<Scalar>, std::move(shape), std::as_bytes(values)});
}

template <class Scalar>
void bitsandbytes_writer::put(std::string name, std::span<const Scalar> values) {
  put<Scalar>(std::move(name), values, {static_cast<index_t>(values.size())});
}

SBORA_INSTANCE_OF void bitsandbytes_writer::check_name(const std::string& name) const {
  for (const tensor_view& tensor : tensors_) {
    if (tensor.name == name) throw config_error("sbora::bitsandbytes_writer: '" + name + "' was added already");
  }
}

SBORA_INSTANCE_OF void bitsandbytes_writer::check_rows(const std::string& name, index_t stride, index_t d_in) {
  if (stride == d_in) return;
  throw quantization_error("sbora::bitsandbytes_writer: " + name + " has " + std::to_string(d_in) + " of " +
                           std::to_string(stride) +
                           " columns of another weight, and files have whole rows; quantise "
                           "the part itself");
}

SBORA_INSTANCE_OF void bitsandbytes_writer::add(const std::string& name, const four_bit_view& weight, dtype original) {
  check_name(name);
  if (!is_dense_dtype(original)) {
    throw config_error("sbora::bitsandbytes_writer: " + name + " was quantised from " + to_string(original) +
                       ", expected F32, F16 or BF16");
  }
  check_rows(name, weight.stride(), weight.d_in());
  const four_bit_scales& scales = weight.scales();
  detail::quant_state state = {weight.type(), weight.blocksize(), original, weight.d_out(), weight.d_in(), {}};
  put<std::uint8_t>(name, weight.codes(), {static_cast<index_t>(weight.codes().size()), 1});
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

SBORA_INSTANCE_OF void bitsandbytes_writer::add(const std::string& name, const int8_view& weight) {
  check_name(name);
  if (name != "weight" && !name.ends_with(".weight")) {
    throw config_error("sbora::bitsandbytes_writer: an int8 weight is called '" + name +
                       "', expected a name that ends in '.weight'");
  }
  check_rows(name, weight.stride(), weight.d_in());
  static constexpr std::uint8_t by_rows = 0;
  const std::string module = name.substr(0, name.size() - std::string_view("weight").size());
  put<std::int8_t>(name, weight.codes(), {weight.d_out(), weight.d_in()});
  put<float>(module + "SCB", weight.absmax());
  put<std::uint8_t>(module + "weight_format", {&by_rows, 1}, {});
}

}  // namespace sbora::inline SBORA_ABI
