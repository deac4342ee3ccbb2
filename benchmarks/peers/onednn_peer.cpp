#include "peers.hpp"

#include <map>
#include <memory>
#include <tuple>
#include <unordered_map>

#include <omp.h>
#include <oneapi/dnnl/dnnl.hpp>

/// oneDNN's matmul on the weight as it lies (a view with strides, no copy), as our layers take it.
namespace {

/// Sizes, kind and threads: a primitive is made for those that there are.
using key = std::tuple<std::ptrdiff_t, std::ptrdiff_t, std::ptrdiff_t, bool, bool, int>;

struct product {
  dnnl::memory::desc left, right, result;
  dnnl::matmul primitive;
};

dnnl::engine& engine() {
  static dnnl::engine cpu(dnnl::engine::kind::cpu, 0);
  return cpu;
}

/// left (rows x depth) times right (depth x columns, or its transpose where `transposed`).
const product& cached(std::ptrdiff_t rows, std::ptrdiff_t depth, std::ptrdiff_t columns, bool transposed, bool bf16) {
  static std::map<key, product> made;
  const key wanted{rows, depth, columns, transposed, bf16, omp_get_max_threads()};
  const auto found = made.find(wanted);
  if (found != made.end()) return found->second;
  using tag = dnnl::memory::format_tag;
  const auto type = bf16 ? dnnl::memory::data_type::bf16 : dnnl::memory::data_type::f32;
  const dnnl::memory::desc left({rows, depth}, type, tag::ab);
  const dnnl::memory::desc right({depth, columns}, type, transposed ? tag::ba : tag::ab);
  const dnnl::memory::desc result({rows, columns}, type, tag::ab);
  const dnnl::matmul::desc operation(left, right, result);
  const dnnl::matmul primitive(dnnl::matmul::primitive_desc(operation, engine()));
  return made.emplace(wanted, product{left, right, result, primitive}).first->second;
}

void run(const void* left, const void* right, void* result, const product& p) {
  static dnnl::stream stream(engine());
  const auto memory = [](const dnnl::memory::desc& description, const void* data) {
    return dnnl::memory(description, engine(), const_cast<void*>(data));
  };
  p.primitive.execute(stream, {{DNNL_ARG_SRC, memory(p.left, left)},
                               {DNNL_ARG_WEIGHTS, memory(p.right, right)},
                               {DNNL_ARG_DST, memory(p.result, result)}});
  stream.wait();
}

}  // namespace

extern "C" {

int onednn_available(int threads) {
  omp_set_num_threads(threads);
  return 1;
}

int onednn_bf16_available(int threads) {
  omp_set_num_threads(threads);
  try {
    cached(1, 1, 1, true, true);
    return 1;
  } catch (const dnnl::error&) {  // not on this processor
    return 0;
  }
}

void onednn_forward(const float* x, const float* w, float* y, std::ptrdiff_t tokens, std::ptrdiff_t d_out,
                    std::ptrdiff_t d_in) {
  run(x, w, y, cached(tokens, d_in, d_out, true, false));
}

void onednn_backward(const float* dy, const float* w, float* dx, std::ptrdiff_t tokens, std::ptrdiff_t d_out,
                     std::ptrdiff_t d_in) {
  run(dy, w, dx, cached(tokens, d_out, d_in, false, false));
}

void onednn_forward_bf16(const void* x, const void* w, void* y, std::ptrdiff_t tokens, std::ptrdiff_t d_out,
                         std::ptrdiff_t d_in) {
  run(x, w, y, cached(tokens, d_in, d_out, true, true));
}

void onednn_backward_bf16(const void* dy, const void* w, void* dx, std::ptrdiff_t tokens, std::ptrdiff_t d_out,
                          std::ptrdiff_t d_in) {
  run(dy, w, dx, cached(tokens, d_out, d_in, false, true));
}

}  // extern "C"
