#include "weights/weight.hpp"

#include <sbora/weights/convert.hpp>
#include <sbora/weights/quantize.hpp>
#include <sbora/weights/row_reader.hpp>

#include "common/error.hpp"

namespace llama {
namespace {

const sbora::tensor_view& find_tensor(const tensor_source& from, const std::string& name) {
  const sbora::tensor_view* const found = from.find(name);
  if (!found) throw input_error("the checkpoint has no tensor " + name);
  return *found;
}

[[noreturn]] void refuse_type(const sbora::tensor_view& tensor) {
  throw input_error("tensor " + tensor.name + " is " + to_string(tensor.type) + ", expected F32, BF16 or F16");
}

/// f(view) of a weight_view. Requires that it is one.
template <class Function>
sbora::any_weight of_dense(const sbora::any_weight& weight, Function f) {
  return weight.visit([&]<class View>(const View& view) -> sbora::any_weight {
    if constexpr (requires { view.data(); }) return f(view);
    else throw std::logic_error("a quantised weight where a dense one is needed");
  });
}

sbora::any_weight quantise(const sbora::any_weight& stored, const load_options& options, thread_pool& pool) {
  return of_dense(stored, [&](const auto& view) -> sbora::any_weight {
    if (options.bits == 8) {
      const auto codes = std::make_shared<const sbora::int8_weight>(view, pool);
      return {codes->view(), codes};
    }
    const auto codes = std::make_shared<const sbora::four_bit_weight>(
        view,
        sbora::four_bit_options{
            .type = options.four_bit, .blocksize = options.blocksize, .nested = options.double_quant},
        pool);
    return {codes->view(), codes};
  });
}

/// Rounded to nearest even; codes as they are.
sbora::any_weight in_bf16(const sbora::any_weight& stored, thread_pool& pool) {
  const bool is_bf16 = stored.visit(
      []<class View>(const View&) { return std::is_same_v<View, sbora::weight_view<const Eigen::bfloat16>>; });
  if (is_bf16 || stored.is_quantised()) return stored;
  const auto rounded = std::make_shared<matrix_of<Eigen::bfloat16>>(stored.d_out(), stored.d_in());
  for_row_blocks(rounded->rows(), pool, [&](index_t first, index_t count) {
    std::vector<float> values(static_cast<std::size_t>(rounded->cols()));
    for (index_t row = first; row < first + count; ++row) {
      read_row(stored, row, values.data());
      sbora::convert(values, std::span(&(*rounded)(row, 0), values.size()));
    }
  });
  return {sbora::weight_view(std::as_const(*rounded)), rounded};
}

}  // namespace

std::string_view module_of(std::string_view weight) {
  constexpr std::string_view ending = ".weight";
  return weight.ends_with(ending) ? weight.substr(0, weight.size() - ending.size()) : weight;
}

bool tensor_source::is_quantised(const std::string& name) const {
  const sbora::tensor_view* const stored = find(name);
  const std::optional<sbora::model_module> module = find_module(module_of(name));
  return stored && module &&
         (!is_dense_dtype(stored->type) || stored->shape != std::vector<index_t>{module->d_out, module->d_in});
}

sbora::any_weight load_dense(const tensor_source& from, const std::string& name) {
  const sbora::tensor_view& stored = find_tensor(from, name);
  if (!is_dense_dtype(stored.type) || from.is_quantised(name)) refuse_type(stored);
  return from.weight(module_of(name));
}

sbora::any_weight load_table(const tensor_source& from, const std::string& name, const load_options& options,
                             thread_pool& pool) {
  const sbora::any_weight stored = from.gguf() ? from.weight(module_of(name)) : load_dense(from, name);
  return options.bf16 ? in_bf16(stored, pool) : stored;
}

sbora::any_weight load_linear(const tensor_source& from, const std::string& name, const load_options& options,
                              thread_pool& pool) {
  if (from.is_quantised(name)) return from.weight(module_of(name));
  const sbora::any_weight stored = load_dense(from, name);
  if (options.bits == 16) return options.bf16 ? in_bf16(stored, pool) : stored;
  try {
    return quantise(stored, options, pool);
  } catch (const sbora::not_finite_error& error) {
    throw input_error(from.place(name) + "tensor " + name + " isn't finite at row " + std::to_string(error.row()) +
                      ", column " + std::to_string(error.col()) +
                      ", so it has no codes; get that file anew, or repair it");
  }
}

void read_row(const sbora::any_weight& weight, index_t row, float* out) {
  weight.visit([&](const auto& view) { sbora::detail::row_reader(view).read(row, 0, view.d_in(), out); });
}

void lookup(const sbora::any_weight& table, std::span<const std::int32_t> ids, matrix& out, thread_pool& pool) {
  out.resize(std::ssize(ids), table.d_in());
  table.visit([&](const auto& view) {
    const sbora::detail::row_reader reader(view);
    for_row_blocks(out.rows(), pool, [&](index_t first, index_t count) {
      for (index_t token = first; token < first + count; ++token) {
        reader.read(ids[static_cast<std::size_t>(token)], 0, out.cols(), &out(token, 0));
      }
    });
  });
}

std::vector<float> to_floats(const sbora::tensor_view& tensor) {
  const auto values = sbora::visit_dense_dtype(tensor.type, [&]<class Scalar>(Scalar) {
    const std::vector<Scalar> stored = tensor.copy<Scalar>();
    return std::vector<float>(stored.begin(), stored.end());
  });
  if (!values) refuse_type(tensor);
  return *values;
}

std::vector<float> load_vector(const tensor_source& from, const std::string& name) {
  return to_floats(find_tensor(from, name));
}

}  // namespace llama
