// Whole training steps with every buffer of the caller's between pages that nobody may touch: weight, bias,
// activations, trained half, gradient, codes and their scales. The kernels' own tests do the same for each kernel.

#include <sbora/merge/merger.hpp>
#include <sbora/optimisers/adamw.hpp>
#include <sbora/weights/quantize.hpp>

#include "support/catch.hpp"
#include "support/fp8_codes.hpp"
#include "support/ggml_blocks.hpp"
#include "support/guarded_buffer.hpp"
#include "support/layer_problem.hpp"

using namespace sbora_tests;
using Eigen::bfloat16;
using sbora::adapter_kind;
using sbora::delta_path;
using sbora::storage;

namespace {

template <class T>
void randomise(const guarded_matrix<T>& m, std::uint64_t seed) {
  for (index_t row = 0; row < m.rows(); ++row) {
    fill_random(std::span<T>(&m(row, 0), static_cast<std::size_t>(m.cols())),
                seed + static_cast<std::uint64_t>(row) * 0x10000);
  }
}

template <class T>
sbora::activation_view<T> activation(const guarded_matrix<T>& m) {
  return {m.data(), m.rows(), m.cols(), m.stride()};
}

template <class T>
std::span<T> span_of(const guarded_buffer<T>& buffer) {
  return {buffer.data(), static_cast<std::size_t>(buffer.size())};
}

/// Results of all steps, so that those from memory that starts at a page's begin and from memory that ends at a
/// page's end can be compared: what a neighbour's value gets into differs, or is NaN.
class results {
 public:
  /// Everything that was written: elements are numbers, gaps and slack are as they were.
  template <class T>
  void keep(const guarded_matrix<T>& m) {
    const T unused = padding<T>();
    for (index_t at = 0; at < m.memory().size(); ++at) {
      if (at % m.stride() < m.cols()) keep(static_cast<double>(m.memory()[at]));
      else if (std::memcmp(&m.memory()[at], &unused, sizeof(T)) != 0) gaps_intact_ = false;
    }
    if (!m.memory().intact()) gaps_intact_ = false;
  }
  template <class T>
  void keep(const guarded_buffer<T>& buffer) {
    for (index_t at = 0; at < buffer.size(); ++at) keep(static_cast<double>(buffer[at]));
    if (!buffer.intact()) gaps_intact_ = false;
  }

  bool finite() const { return finite_; }
  bool gaps_intact() const { return gaps_intact_; }
  const std::vector<double>& values() const { return values_; }

 private:
  void keep(double value) {
    values_.push_back(value);
    if (!std::isfinite(value)) finite_ = false;
  }

  std::vector<double> values_;
  bool finite_ = true, gaps_intact_ = true;
};

/// What doesn't depend on how the weight is kept.
struct sizes {
  index_t d_out, d_in, tokens;
};

/// Forward and backward in every way, with an adapter on guarded memory, over any weight.
template <adapter_kind Kind, class Activation, class Weight>
void run_layer(const sizes& n, const Weight& weight, guard side, results& all) {
  constexpr bool fa = Kind == adapter_kind::fa;
  using T = typename Weight::compute_scalar;
  using saved_type = std::conditional_t<fa, sbora::fa_saved<T>, sbora::fb_saved<T, Activation>>;
  const index_t dim = fa ? n.d_in : n.d_out, rank = std::min<index_t>(dim, 5);
  const index_t count = rank * (fa ? n.d_out : n.d_in);

  const guarded_buffer<T> bias(n.d_out, side), parameters(count, side), gradient(count, side);
  fill_random(span_of(bias), 1);
  fill_random(span_of(parameters), 2);
  const guarded_matrix<Activation> x(n.tokens, n.d_in, n.d_in + 1, side), dy(n.tokens, n.d_out, n.d_out + 2, side);
  const guarded_matrix<Activation> y(n.tokens, n.d_out, n.d_out + 3, side), dx(n.tokens, n.d_in, n.d_in, side);
  randomise(x, 3);
  randomise(dy, 4);

  sbora::linear<Weight> layer(weight, std::span<const T>(span_of(bias)));
  sbora::workspace memory;
  layer.forward(activation(x), activation(y), memory);
  all.keep(y);
  layer.backward(activation(dy), activation(dx), memory);
  all.keep(dx);

  const sbora::region target = sbora::sample_region(dim, rank, 5);
  for (const delta_path path : {delta_path::automatic, delta_path::separate, delta_path::on_pack}) {
    layer.set_delta_path(path);
    for (const double dropout : {0.0, 0.25}) {
      sbora::basic_adapter<Kind, T> adapter(n.d_out, n.d_in, target, {.alpha = 3, .dropout = dropout},
                                            span_of(parameters), span_of(gradient));
      adapter.zero_gradient();
      saved_type saved;
      layer.forward(activation(x), activation(y), std::as_const(adapter), memory);
      all.keep(y);
      layer.forward(activation(x), activation(y), adapter, saved, memory);
      all.keep(y);
      layer.backward(activation(dy), activation(dx), adapter, saved, memory);
      all.keep(dx);
      all.keep(gradient);
      sbora::adamw<T> optimiser(count);
      optimiser.step(adapter.parameters(), adapter.gradient());
      all.keep(parameters);
    }
  }
}

/// And merges into a weight that can be written.
template <adapter_kind Kind, class Scalar, class Activation>
results run_dense(const sizes& n, storage order, guard side) {
  constexpr bool fa = Kind == adapter_kind::fa;
  using T = typename sbora::weight_view<Scalar>::compute_scalar;
  const bool by_rows = order == storage::out_by_in;
  const index_t rows = by_rows ? n.d_out : n.d_in, cols = by_rows ? n.d_in : n.d_out;
  const guarded_matrix<Scalar> weight(rows, cols, cols + 1, side);
  randomise(weight, 6);
  const sbora::weight_view<Scalar> view(weight.data(), n.d_out, n.d_in, weight.stride(), order);
  results all;
  run_layer<Kind, Activation>(n, view, side, all);

  const index_t dim = fa ? n.d_in : n.d_out, rank = std::min<index_t>(dim, 7);
  const guarded_buffer<T> parameters(rank * (fa ? n.d_out : n.d_in), side);
  fill_random(span_of(parameters), 7);
  const sbora::basic_adapter<Kind, T> adapter(n.d_out, n.d_in, sbora::sample_region(dim, rank, 8), {},
                                              span_of(parameters), {});
  sbora::merger merger{view};
  const std::vector<Scalar> before = weight.memory().image();
  merger.merge(adapter);
  all.keep(weight);
  merger.unmerge(adapter);
  CHECK(same_bits(std::span<const Scalar>(weight.memory().image()), std::span<const Scalar>(before)));
  return all;
}

template <adapter_kind Kind, class Activation>
results run_four_bit(const sizes& n, const sbora::four_bit_options& options, guard side) {
  const padded_matrix<float> source = padded_matrix<float>(n.d_out, n.d_in).randomise(9);
  const sbora::four_bit_weight owner(sbora::weight_view<const float>(source.data(), n.d_out, n.d_in), options);
  const sbora::four_bit_view view = owner.view();
  const sbora::four_bit_scales& scales = view.scales();
  const guarded_buffer<std::uint8_t> codes(view.codes(), side), absmax_codes(scales.absmax_codes, side);
  const guarded_buffer<float> absmax(scales.absmax, side), nested_absmax(scales.nested_absmax, side),
      table(scales.nested_table, side);
  results all;
  run_layer<Kind, Activation>(n,
                              sbora::four_bit_view(view.type(), span_of(codes), n.d_out, n.d_in,
                                                   {scales.blocksize, span_of(absmax), span_of(absmax_codes),
                                                    span_of(nested_absmax), span_of(table), scales.nested_offset}),
                              side, all);
  return all;
}

template <adapter_kind Kind, class Activation>
results run_int8(const sizes& n, guard side) {
  const padded_matrix<float> source = padded_matrix<float>(n.d_out, n.d_in).randomise(9);
  const sbora::int8_weight owner(sbora::weight_view<const float>(source.data(), n.d_out, n.d_in));
  const guarded_buffer<std::int8_t> codes(owner.view().codes(), side);
  const guarded_buffer<float> absmax(owner.view().absmax(), side);
  results all;
  run_layer<Kind, Activation>(n, sbora::int8_view(span_of(codes), span_of(absmax), n.d_out, n.d_in), side, all);
  return all;
}

template <adapter_kind Kind, class Activation>
results run_fp8(const sizes& n, sbora::fp8_scaling scaling, guard side) {
  const fp8_codes owner(n.d_out, n.d_in, scaling, 9);
  const guarded_buffer<std::uint8_t> codes(owner.view().codes(), side);
  const guarded_buffer<float> scales(owner.view().scales(), side);
  results all;
  run_layer<Kind, Activation>(n, sbora::fp8_view(span_of(codes), span_of(scales), n.d_out, n.d_in, scaling), side, all);
  return all;
}

/// Rows of one block or two.
template <adapter_kind Kind, class Activation>
results run_ggml(sizes n, sbora::ggml_type type, guard side) {
  n.d_in = n.d_in < 100 ? 256 : 512;
  const ggml_blocks owner(n.d_out, n.d_in, type, 9);
  const guarded_buffer<std::uint8_t> blocks(owner.view().blocks(), side);
  results all;
  run_layer<Kind, Activation>(n, sbora::ggml_view(span_of(blocks), type, n.d_out, n.d_in), side, all);
  return all;
}

/// run(kind, sizes, side) at every level: within its buffers, and the same on both sides of a page.
template <class Run>
void check(Run run) {
  const sbora::isa before = sbora::active_isa();
  for (const sbora::isa level : sbora::all_levels) {
    if (!sbora::is_supported(level)) continue;
    sbora::force_isa(level);
    // A few elements; a rest in every direction; streamed and packed; more than one panel deep.
    for (const sizes& n : {sizes{1, 1, 1}, sizes{3, 5, 2}, sizes{37, 29, 5}, sizes{45, 261, 19}}) {
      CAPTURE(sbora::to_string(level), n.d_out, n.d_in, n.tokens);
      const results front = run(n, guard::front), back = run(n, guard::back);
      CHECK(front.finite());
      CHECK(front.gaps_intact());
      CHECK(back.gaps_intact());
      CHECK(front.values() == back.values());
    }
  }
  sbora::force_isa(before);
}

}  // namespace

TEMPLATE_TEST_CASE("layers over dense weights stay within the caller's buffers", "", float, double, bfloat16,
                   Eigen::half) {
  using T = typename sbora::weight_view<TestType>::compute_scalar;
  for (const storage order : {storage::out_by_in, storage::in_by_out}) {
    CAPTURE(order == storage::out_by_in);
    check([&](const sizes& n, guard side) { return run_dense<adapter_kind::fa, TestType, T>(n, order, side); });
    check([&](const sizes& n, guard side) { return run_dense<adapter_kind::fb, TestType, T>(n, order, side); });
    if constexpr (std::is_same_v<TestType, bfloat16>) {
      check(
          [&](const sizes& n, guard side) { return run_dense<adapter_kind::fa, bfloat16, bfloat16>(n, order, side); });
      check(
          [&](const sizes& n, guard side) { return run_dense<adapter_kind::fb, bfloat16, bfloat16>(n, order, side); });
    }
  }
}

TEMPLATE_TEST_CASE("layers over quantised weights stay within the caller's buffers", "", float, bfloat16) {
  using enum sbora::four_bit_type;
  for (const sbora::four_bit_options& options : {sbora::four_bit_options{nf4, 64, false}, {fp4, 32, true}}) {
    CAPTURE(options.nested);
    check([&](const sizes& n, guard side) { return run_four_bit<adapter_kind::fa, TestType>(n, options, side); });
    check([&](const sizes& n, guard side) { return run_four_bit<adapter_kind::fb, TestType>(n, options, side); });
  }
  check([&](const sizes& n, guard side) { return run_int8<adapter_kind::fa, TestType>(n, side); });
  check([&](const sizes& n, guard side) { return run_int8<adapter_kind::fb, TestType>(n, side); });
  for (const sbora::fp8_scaling scaling : all_fp8_scalings) {
    check([&](const sizes& n, guard side) { return run_fp8<adapter_kind::fa, TestType>(n, scaling, side); });
    check([&](const sizes& n, guard side) { return run_fp8<adapter_kind::fb, TestType>(n, scaling, side); });
  }
  for (const sbora::ggml_type type : {sbora::ggml_type::q4_1, sbora::ggml_type::q6_k}) {
    check([&](const sizes& n, guard side) { return run_ggml<adapter_kind::fa, TestType>(n, type, side); });
    check([&](const sizes& n, guard side) { return run_ggml<adapter_kind::fb, TestType>(n, type, side); });
  }
}
