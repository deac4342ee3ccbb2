#include "weights/weight.hpp"

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

/// f with a value of the tensor's scalar type.
template <class Function>
decltype(auto) with_scalar(const sbora::tensor_view& tensor, Function f) {
  switch (tensor.type) {
    case sbora::dtype::f32: return f(float{});
    case sbora::dtype::bf16: return f(Eigen::bfloat16{});
    case sbora::dtype::f16: return f(Eigen::half{});
    default: refuse_type(tensor);
  }
}

/// In place; a copy where an old file has it unaligned.
frozen_weight dense_weight(const sbora::tensor_view& tensor) {
  return with_scalar(tensor, [&]<class Scalar>(Scalar) -> frozen_weight {
    if (tensor.is_aligned<Scalar>()) return {tensor.as_weight<Scalar>(), nullptr, tensor.data.size()};
    const auto copy = std::make_shared<const std::vector<Scalar>>(tensor.copy<Scalar>());
    return {sbora::weight_view<const Scalar>(copy->data(), tensor.shape[0], tensor.shape[1]), copy, tensor.data.size()};
  });
}

frozen_weight quantise(const frozen_weight& stored, const load_options& options, thread_pool& pool) {
  return std::visit(
      [&]<class View>(const View& view) -> frozen_weight {
        if constexpr (requires { view.stride(); }) {
          if (options.bits == 8) {
            const auto codes = std::make_shared<const sbora::int8_weight>(view, pool);
            return {codes->view(), codes, codes->view().bytes()};
          }
          const auto codes = std::make_shared<const sbora::four_bit_weight>(
              view,
              sbora::four_bit_options{
                  .type = options.four_bit, .blocksize = options.blocksize, .nested = options.double_quant},
              pool);
          return {codes->view(), codes, codes->view().bytes()};
        } else {
          throw std::logic_error("a quantised weight quantised again");
        }
      },
      stored.source);
}

}  // namespace

index_t frozen_weight::d_out() const {
  return std::visit([](const auto& view) { return view.d_out(); }, source);
}
index_t frozen_weight::d_in() const {
  return std::visit([](const auto& view) { return view.d_in(); }, source);
}

weight_source frozen_weight::rows(index_t first, index_t count) const {
  return std::visit(
      [&]<class View>(const View& view) -> weight_source {
        if constexpr (requires { view.stride(); }) {
          return View(view.data() + first * view.stride(), count, view.d_in(), view.stride());
        } else {
          throw std::logic_error("rows of a quantised weight");
        }
      },
      source);
}

frozen_weight load_dense(const tensor_source& from, const std::string& name) {
  return dense_weight(find_tensor(from, name));
}

frozen_weight load_linear(const tensor_source& from, const std::string& name, const load_options& options,
                          thread_pool& pool) {
  if (std::optional<frozen_weight> codes = from.quantised(name)) return *std::move(codes);
  const frozen_weight stored = load_dense(from, name);
  if (options.bits == 16) return stored;
  try {
    return quantise(stored, options, pool);
  } catch (const sbora::not_finite_error& error) {
    throw input_error(from.place(name) + "tensor " + name + " isn't finite at row " + std::to_string(error.row()) +
                      ", column " + std::to_string(error.col()) +
                      ", so it has no codes; get that file anew, or repair it");
  }
}

void read_row(const frozen_weight& weight, index_t row, float* out) {
  std::visit([&](const auto& view) { sbora::detail::row_reader(view).read(row, 0, view.d_in(), out); }, weight.source);
}

void lookup(const frozen_weight& table, std::span<const std::int32_t> ids, matrix& out, thread_pool& pool) {
  out.resize(std::ssize(ids), table.d_in());
  std::visit(
      [&]<class View>(const View& view) {
        if constexpr (requires { view.stride(); }) {
          using scalar = std::remove_const_t<typename View::scalar>;
          for_row_blocks(out.rows(), pool, [&](index_t first, index_t count) {
            for (index_t token = first; token < first + count; ++token) {
              const index_t id = ids[static_cast<std::size_t>(token)];
              const Eigen::Map<const Eigen::RowVectorX<scalar>> row(view.data() + id * view.stride(), out.cols());
              out.row(token) = row.template cast<float>();
            }
          });
        } else {
          throw std::logic_error("a quantised embedding");
        }
      },
      table.source);
}

std::vector<float> to_floats(const sbora::tensor_view& tensor) {
  return with_scalar(tensor, [&]<class Scalar>(Scalar) {
    const std::vector<Scalar> stored = tensor.copy<Scalar>();
    std::vector<float> values(stored.size());
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(stored[i]);
    return values;
  });
}

std::vector<float> load_vector(const tensor_source& from, const std::string& name) {
  return to_floats(find_tensor(from, name));
}

}  // namespace llama
