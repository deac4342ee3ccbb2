#include "model/projection.hpp"

#include <sbora/layers/any_linear.hpp>
#include <sbora/layers/delta.hpp>
#include <sbora/layers/mixed.hpp>

namespace llama {

index_t projection::parameter_count(adapter_method method, index_t rank) const {
  switch (method) {
    case adapter_method::sbora_fa: return d_out() * rank;
    case adapter_method::sbora_fb: return rank * d_in();
    case adapter_method::lora: return lora::parameter_count(d_out(), d_in(), rank);
    case adapter_method::none: break;
  }
  return 0;
}

void projection::attach_sbora(adapter_method method, sbora::region target, const sbora::adapter_options& options,
                              std::span<float> parameters, std::span<float> gradient) {
  if (method == adapter_method::sbora_fa) {
    adapter_.emplace<fa>(fa{{d_out(), d_in(), std::move(target), options, parameters, gradient}, {}});
  } else {
    adapter_.emplace<fb>(fb{{d_out(), d_in(), std::move(target), options, parameters, gradient}, {}});
  }
}

void projection::attach_lora(index_t rank, const sbora::adapter_options& options, std::span<float> parameters,
                             std::span<float> gradient) {
  adapter_.emplace<lora>(d_out(), d_in(), rank, options, parameters, gradient);
}

const sbora::region* projection::target() const {
  if (const auto* const with = std::get_if<fa>(&adapter_)) return &with->adapter.target();
  if (const auto* const with = std::get_if<fb>(&adapter_)) return &with->adapter.target();
  return nullptr;
}

bool projection::needs_input() const {
  return !weight_gradient_.empty() || std::holds_alternative<fb>(adapter_) || std::holds_alternative<lora>(adapter_) ||
         std::holds_alternative<observed>(adapter_);
}

void projection::forward(const matrix& x, matrix& y, pass what, sbora::workspace& memory, thread_pool& pool) {
  y.resize(x.rows(), d_out());
  // A view: making it costs nothing.
  const sbora::linear<sbora::any_weight> linear =
      bias_.empty() ? sbora::linear(weight_) : sbora::linear(weight_, sbora::lasting_span<float>(bias_));
  // With an adapter of sbora's in one call, unless the base product reads something else.
  const auto with_sbora = [&](auto& with) {
    const auto& frozen = std::as_const(with.adapter);
    if (what == pass::train) with.adapter.set_dropout_step(step_);
    if (!input_->rounds()) {
      if (what == pass::evaluate) return linear.forward(x, y, frozen, memory, pool);
      return linear.forward(x, y, with.adapter, with.saved, memory, pool);
    }
    input_->read(x, pool, [&](const auto& in) { linear.forward(in, y, memory, pool); });
    if (what == pass::evaluate) return sbora::delta_forward(frozen, x, y, memory, pool);
    sbora::delta_forward(with.adapter, x, y, with.saved, memory, pool);
  };
  if (auto* const with_fa = std::get_if<fa>(&adapter_)) return with_sbora(*with_fa);
  if (auto* const with_fb = std::get_if<fb>(&adapter_)) return with_sbora(*with_fb);
  input_->read(x, pool, [&](const auto& in) { linear.forward(in, y, memory, pool); });
  if (auto* const with = std::get_if<lora>(&adapter_)) {
    if (what == pass::evaluate) with->add_to(x, y, memory, pool);
    else with->add_to(x, y, step_, memory, pool);
  }
  if (auto* const with = std::get_if<mixed>(&adapter_)) {
    sbora::mixed_forward(with->adapters, *with->rows, x, y, memory, pool);
  }
}

void projection::backward(const matrix& x, const matrix& dy, matrix* dx, sbora::workspace& memory, thread_pool& pool) {
  if (!weight_gradient_.empty()) add_weight_gradient(dy, x, weight_gradient_, pool);
  if (!bias_gradient_.empty()) add_bias_gradient(dy, bias_gradient_, pool);
  auto* const seen = std::get_if<observed>(&adapter_);
  if (seen && !dx) dx = &seen->dx;
  if (dx) dx->resize(dy.rows(), d_in());
  if (auto* const with = std::get_if<fb>(&adapter_)) {
    with->saved.refer_to({x.data(), x.rows(), x.cols()}, with->saved.dropout_step());
  }
  const sbora::linear linear(weight_);
  const auto base = [&] { input_->read(dy, pool, [&](const auto& in) { linear.backward(in, *dx, memory, pool); }); };
  const auto with_sbora = [&](auto& with) {
    if (!dx) return linear.backward(dy, sbora::no_dx, with.adapter, with.saved, memory, pool);
    if (!input_->rounds()) return linear.backward(dy, *dx, with.adapter, with.saved, memory, pool);
    base();
    sbora::delta_backward(with.adapter, dy, *dx, with.saved, memory, pool);
  };
  if (auto* const with_fa = std::get_if<fa>(&adapter_)) return with_sbora(*with_fa);
  if (auto* const with_fb = std::get_if<fb>(&adapter_)) return with_sbora(*with_fb);
  if (dx) base();
  if (seen) seen->show(x, dy, *dx, memory, pool);
  if (auto* const with = std::get_if<lora>(&adapter_)) with->backward(x, dy, dx, memory, pool);
}

std::size_t projection::saved_bytes() const {
  if (const auto* const with = std::get_if<lora>(&adapter_)) return with->saved_bytes();
  if (const auto* const with = std::get_if<fa>(&adapter_)) {
    return sizeof(float) * static_cast<std::size_t>(with->saved.tokens() * with->saved.rank());
  }
  return 0;
}

void add_weight_gradient(const Eigen::Ref<const matrix>& dy, const matrix& x, std::span<float> gradient,
                         thread_pool& pool) {
  Eigen::Map<matrix> sum(gradient.data(), dy.cols(), x.cols());
  for_row_blocks(
      dy.cols(), pool,
      [&](index_t first, index_t count) {
        sum.middleRows(first, count).noalias() += dy.middleCols(first, count).transpose() * x;
      },
      64);
}

void add_bias_gradient(const matrix& dy, std::span<float> gradient, thread_pool& pool) {
  Eigen::Map<Eigen::RowVectorXf> sum(gradient.data(), dy.cols());
  for_row_blocks(
      dy.cols(), pool,
      [&](index_t first, index_t count) {
        for (index_t token = 0; token < dy.rows(); ++token) {
          sum.segment(first, count) += dy.row(token).segment(first, count);
        }
      },
      128);
}

}  // namespace llama
