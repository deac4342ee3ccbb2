// A forward of one layer whose tokens use different adapters, behind C functions, for mixed.py to time beside PEFT's in
// one process. All matrices row-major float without gaps; w: d_out x d_in, x: tokens x d_in, y: tokens x d_out.

#include <cstdint>
#include <cstdio>
#include <exception>
#include <vector>

#include <Eigen/Core>

#include <sbora/executors/thread_pool.hpp>
#include <sbora/layers/mixed.hpp>
#include <sbora/sbora.hpp>

namespace {

using sbora::index_t;

/// In mixed.py's order. Token t uses adapter t. kinds: 0 FA, 1 FB; indices and trained halves one adapter after the
/// other; alpha is the rank.
struct mixed_plan {
  std::int64_t d_out, d_in, tokens, threads;
  const std::int64_t *kinds, *ranks, *indices;
  float* halves;
  const float *w, *x;
  float* y;
};

class mixed_layer {
  using map = Eigen::Map<Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>;
  using const_map = Eigen::Map<const Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>;

 public:
  explicit mixed_layer(const mixed_plan& p)
      : layer_(sbora::weight_view<const float>(p.w, p.d_out, p.d_in)),
        x_(p.x, p.tokens, p.d_in),
        y_(p.y, p.tokens, p.d_out),
        pool_(static_cast<int>(p.threads)) {
    fa_.reserve(static_cast<std::size_t>(p.tokens));
    fb_.reserve(static_cast<std::size_t>(p.tokens));
    const std::int64_t* indices = p.indices;
    float* halves = p.halves;
    std::vector<index_t> ids;
    for (index_t i = 0; i < p.tokens; ++i) {
      const index_t rank = p.ranks[i];
      const bool is_fa = p.kinds[i] == 0;
      const auto count = static_cast<std::size_t>(rank * (is_fa ? p.d_out : p.d_in));
      sbora::region target(is_fa ? p.d_in : p.d_out, std::vector<index_t>(indices, indices + rank));
      const auto add = [&](auto& adapters) {
        adapters.emplace_back(p.d_out, p.d_in, std::move(target),
                              sbora::adapter_options{.alpha = static_cast<double>(rank)}, std::span(halves, count),
                              std::span<float>());
        deltas_.push_back(adapters.back().delta());
      };
      is_fa ? add(fa_) : add(fb_);
      indices += rank;
      halves += count;
      ids.push_back(i);
    }
    rows_.assign(ids, p.tokens);
  }

  void run() {
    layer_.forward(x_, y_, memory_, pool_);
    sbora::mixed_forward(deltas_, rows_, x_, y_, memory_, pool_);
  }

 private:
  sbora::linear<sbora::weight_view<const float>> layer_;
  const_map x_;
  map y_;
  std::vector<sbora::fa_adapter<float>> fa_;
  std::vector<sbora::fb_adapter<float>> fb_;
  sbora::delta_list<float> deltas_;
  sbora::adapter_rows rows_;
  sbora::thread_pool pool_;
  sbora::workspace memory_;
};

}  // namespace

extern "C" {

/// Null with a line on stderr where it cannot be made.
void* mixed_make(const mixed_plan* plan) {
  try {
    return new mixed_layer(*plan);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return nullptr;
  }
}

void mixed_run(void* made) { static_cast<mixed_layer*>(made)->run(); }

}  // extern "C"
