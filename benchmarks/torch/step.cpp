// One training step of a layer with an adapter, behind C functions, for step.py to time beside PyTorch's in
// one process. All matrices row-major and contiguous; w: d_out x d_in, x, dx: tokens x d_in, y, dy:
// tokens x d_out, in float or bfloat16; the adapter and its optimiser's state in float.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <string_view>
#include <vector>

#include <Eigen/Core>

#include <sbora/executors/thread_pool.hpp>
#include <sbora/sbora.hpp>

namespace {

using sbora::adapter_kind;
using sbora::index_t;

struct sizes {
  index_t d_out, d_in, tokens, rank;
};

struct step {
  virtual ~step() = default;
  virtual void run() = 0;
  virtual const float* parameters() = 0;
};

template <class Scalar, adapter_kind Kind>
class layer_step final : public step {
  using adapter_type = sbora::basic_adapter<Kind, float>;
  using saved_type = std::conditional_t<Kind == adapter_kind::fa, sbora::fa_saved<float>,
                                        sbora::fb_saved<float, Scalar>>;
  using map = Eigen::Map<Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>;

 public:
  layer_step(const sizes& n, const std::int64_t* indices, double alpha, double learning_rate, int threads,
             void* w, void* x, void* y, void* dy, void* dx)
      : layer_(sbora::weight_view<const Scalar>(static_cast<const Scalar*>(w), n.d_out, n.d_in)),
        x_(static_cast<Scalar*>(x), n.tokens, n.d_in), y_(static_cast<Scalar*>(y), n.tokens, n.d_out),
        dy_(static_cast<Scalar*>(dy), n.tokens, n.d_out), dx_(static_cast<Scalar*>(dx), n.tokens, n.d_in),
        adapter_(n.d_out, n.d_in,
                 sbora::region(Kind == adapter_kind::fa ? n.d_in : n.d_out,
                               std::vector<index_t>(indices, indices + n.rank)),
                 {.alpha = alpha}),
        optimiser_(adapter_.parameter_count(), {.learning_rate = learning_rate}), pool_(threads) {}

  void run() override {
    layer_.forward(x_, y_, adapter_, saved_, memory_, pool_);
    layer_.backward(dy_, dx_, adapter_, saved_, memory_, pool_);
    optimiser_.step(adapter_.parameters(), adapter_.gradient());
    adapter_.zero_gradient();
  }

  const float* parameters() override { return adapter_.parameters().data(); }

 private:
  sbora::linear<sbora::weight_view<const Scalar>> layer_;
  map x_, y_, dy_, dx_;
  adapter_type adapter_;
  saved_type saved_;
  sbora::adamw<float> optimiser_;
  sbora::thread_pool pool_;
  sbora::workspace memory_;
};

}  // namespace

extern "C" {

/// kind: "fa" or "fb"; type: "f32" or "bf16". Null with a line on stderr where that cannot be made.
void* step_make(const char* kind, const char* type, std::int64_t d_out, std::int64_t d_in,
                std::int64_t tokens, std::int64_t rank, const std::int64_t* indices, double alpha,
                double learning_rate, int threads, void* w, void* x, void* y, void* dy, void* dx) {
  const auto make = [&]<class Scalar, adapter_kind Kind>() -> step* {
    return new layer_step<Scalar, Kind>({d_out, d_in, tokens, rank}, indices, alpha, learning_rate, threads,
                                        w, x, y, dy, dx);
  };
  try {
    const bool fa = std::string_view(kind) == "fa";
    if (std::string_view(type) == "bf16") {
      return fa ? make.operator()<Eigen::bfloat16, adapter_kind::fa>()
                : make.operator()<Eigen::bfloat16, adapter_kind::fb>();
    }
    return fa ? make.operator()<float, adapter_kind::fa>() : make.operator()<float, adapter_kind::fb>();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return nullptr;
  }
}

void step_run(void* made) { static_cast<step*>(made)->run(); }
const float* step_parameters(void* made) { return static_cast<step*>(made)->parameters(); }
void step_free(void* made) { delete static_cast<step*>(made); }

}  // extern "C"
