#include "model/non_finite.hpp"

#include <span>
#include <stdexcept>
#include <vector>

#include <sbora/core/finite.hpp>

#include "common/error.hpp"
#include "model/model_tensors.hpp"

namespace llama {
namespace {

/// The first value that isn't finite, or size().
std::size_t first_non_finite(std::span<const float> values) {
  std::size_t i = 0;
  while (i < values.size() && sbora::detail::is_finite(values[i])) ++i;
  return i;
}

const char* kind_of(float value) { return sbora::detail::is_nan(value) ? "NaN" : "inf"; }

/// "NaN at position 3", or empty.
std::string in_vector(std::span<const float> values) {
  const std::size_t i = first_non_finite(values);
  if (i == values.size()) return {};
  return kind_of(values[i]) + std::string(" at position ") + std::to_string(i);
}

/// "NaN at row 3, column 5", or empty. row(i) gives a row's values.
template <class Row>
std::string in_matrix(index_t rows, Row row) {
  for (index_t i = 0; i < rows; ++i) {
    const std::span<const float> values = row(i);
    const std::size_t column = first_non_finite(values);
    if (column == values.size()) continue;
    return kind_of(values[column]) + std::string(" at row ") + std::to_string(i) + ", column " + std::to_string(column);
  }
  return {};
}

std::string in_weight(const sbora::any_weight& weight) {
  std::vector<float> values(static_cast<std::size_t>(weight.d_in()));
  return in_matrix(weight.d_out(), [&](index_t row) {
    read_row(weight, row, values.data());
    return std::span<const float>(values);
  });
}

std::string in_half(std::span<const float> half, index_t columns) {
  const auto width = static_cast<std::size_t>(columns);
  return in_matrix(std::ssize(half) / columns,
                   [&](index_t row) { return half.subspan(static_cast<std::size_t>(row) * width, width); });
}

/// The first of all weights': "FILE: tensor NAME has NaN at row 3, column 5".
std::string in_base(const model& net) {
  for (const tensor_shape& each : tensors_of(net.config())) {
    const bool is_weight = each.shape.size() == 2;
    const std::string found = is_weight ? in_weight(net.source().weight(module_of(each.name)))
                                        : in_vector(load_vector(net.source(), each.name));
    if (!found.empty()) return net.source().place(each.name) + "tensor " + each.name + " has " + found;
  }
  return {};
}

std::string in_adapters(const model& net) {
  for (const adapter_slot& slot : net.adapters()) {
    if (const std::string a = in_half(slot.a, slot.d_in); !a.empty()) return slot.module + ".lora_A has " + a;
    if (const std::string b = in_half(slot.b, slot.rank); !b.empty()) return slot.module + ".lora_B has " + b;
  }
  return {};
}

}  // namespace

void throw_not_finite(const model& net, const std::string& what, const std::string& advice) {
  const std::string base = in_base(net);
  if (!base.empty() && !net.trains_all()) {
    throw input_error(what + " isn't finite, as the base model isn't: " + base + "; get that file anew, or repair it");
  }
  std::string cause = base.empty() ? in_adapters(net) : base;
  cause = cause.empty() ? "all weights are finite, so numbers on the way overflow float32" : cause;
  throw std::runtime_error(what + " isn't finite: " + cause + "; " + advice);
}

}  // namespace llama
