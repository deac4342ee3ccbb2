// One training step of a layer with an adapter, behind C functions, for step.py to time beside PyTorch's in
// one process. All matrices row-major and contiguous; w: d_out x d_in, x, dx: tokens x d_in, y, dy:
// tokens x d_out, in float or bfloat16; the adapter and its optimiser's state in float. With a 4-bit weight,
// in the codes and scales of bitsandbytes, x and the others are float.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <string_view>
#include <vector>

#include <Eigen/Core>

#include <sbora/executors/thread_pool.hpp>
#include <sbora/quantized.hpp>
#include <sbora/sbora.hpp>

namespace {

using sbora::adapter_kind;
using sbora::index_t;

/// What step.py describes a step by, in its order.
struct step_plan {
  std::int64_t d_out, d_in, tokens, rank;
  const std::int64_t* indices;
  double alpha, learning_rate;
  std::int64_t threads;
  void *x, *y, *dy, *dx;
};

/// A weight as step.py has it: dense, or of bitsandbytes' nested NF4.
struct dense_weight {
  const void* elements;
};
struct nf4_weight {
  std::int64_t blocksize;
  const std::uint8_t *codes, *absmax_codes;
  const float *nested_absmax, *nested_table;
  double nested_offset;
};

struct step {
  virtual ~step() = default;
  virtual void run() = 0;
  virtual const float* parameters() = 0;
};

template <class Scalar, adapter_kind Kind, class Weight>
class layer_step final : public step {
  using adapter_type = sbora::basic_adapter<Kind, float>;
  using saved_type =
      std::conditional_t<Kind == adapter_kind::fa, sbora::fa_saved<float>, sbora::fb_saved<float, Scalar>>;
  using map = Eigen::Map<Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>;

 public:
  layer_step(const step_plan& p, const Weight& weight)
      : layer_(weight),
        x_(static_cast<Scalar*>(p.x), p.tokens, p.d_in),
        y_(static_cast<Scalar*>(p.y), p.tokens, p.d_out),
        dy_(static_cast<Scalar*>(p.dy), p.tokens, p.d_out),
        dx_(static_cast<Scalar*>(p.dx), p.tokens, p.d_in),
        adapter_(p.d_out, p.d_in,
                 sbora::region(Kind == adapter_kind::fa ? p.d_in : p.d_out,
                               std::vector<index_t>(p.indices, p.indices + p.rank)),
                 {.alpha = p.alpha}),
        optimiser_(adapter_.parameter_count(), {.learning_rate = p.learning_rate}),
        pool_(static_cast<int>(p.threads)) {}

  void run() override {
    layer_.forward(x_, y_, adapter_, saved_, memory_, pool_);
    layer_.backward(dy_, dx_, adapter_, saved_, memory_, pool_);
    optimiser_.step(adapter_.parameters(), adapter_.gradient());
    adapter_.zero_gradient();
  }

  const float* parameters() override { return adapter_.parameters().data(); }

 private:
  sbora::linear<Weight> layer_;
  map x_, y_, dy_, dx_;
  adapter_type adapter_;
  saved_type saved_;
  sbora::adamw<float> optimiser_;
  sbora::thread_pool pool_;
  sbora::workspace memory_;
};

template <class Scalar, class Weight>
step* make(std::string_view kind, const step_plan& plan, const Weight& weight) {
  if (kind == "fa") return new layer_step<Scalar, adapter_kind::fa, Weight>(plan, weight);
  return new layer_step<Scalar, adapter_kind::fb, Weight>(plan, weight);
}

template <class Scalar>
sbora::weight_view<const Scalar> view_of(const dense_weight& weight, const step_plan& plan) {
  return {static_cast<const Scalar*>(weight.elements), plan.d_out, plan.d_in};
}

sbora::four_bit_view view_of(const nf4_weight& weight, const step_plan& plan) {
  const auto elements = static_cast<std::size_t>(plan.d_out * plan.d_in);
  const std::size_t blocks = elements / static_cast<std::size_t>(weight.blocksize);
  sbora::four_bit_scales scales = {weight.blocksize};
  scales.absmax_codes = {weight.absmax_codes, blocks};
  scales.nested_absmax = {weight.nested_absmax, (blocks + 255) / 256};
  scales.nested_table = {weight.nested_table, 256};
  scales.nested_offset = static_cast<float>(weight.nested_offset);
  return {sbora::four_bit_type::nf4, {weight.codes, elements / 2}, plan.d_out, plan.d_in, scales};
}

/// Null with a line on stderr where the step cannot be made.
template <class Make>
void* checked(Make&& make_it) {
  try {
    return make_it();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return nullptr;
  }
}

}  // namespace

extern "C" {

/// kind: "fa" or "fb"; type: "f32" or "bf16".
void* step_make(const char* kind, const char* type, const step_plan* plan, const dense_weight* weight) {
  return checked([&] {
    return std::string_view(type) == "bf16"
               ? make<Eigen::bfloat16>(kind, *plan, view_of<Eigen::bfloat16>(*weight, *plan))
               : make<float>(kind, *plan, view_of<float>(*weight, *plan));
  });
}

void* step_make_nf4(const char* kind, const step_plan* plan, const nf4_weight* weight) {
  return checked([&] { return make<float>(kind, *plan, view_of(*weight, *plan)); });
}

void step_run(void* made) { static_cast<step*>(made)->run(); }
const float* step_parameters(void* made) { return static_cast<step*>(made)->parameters(); }
void step_free(void* made) { delete static_cast<step*>(made); }

}  // extern "C"
